import re
from email.message import Message

import pytest

from coursekit.core.files import shipped
from coursekit.lessons.notebooks import copy
from coursekit.lessons.notebooks.copy import copy_lessons


@pytest.fixture
def course(tmp_path, monkeypatch):
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("00_a.ipynb", "01_b.ipynb", "GLOSSARY.md"):
        (folder / name).write_text(f"{name}, first version")
    monkeypatch.setattr(copy, "shipped", lambda _: folder)
    return folder


def test_the_lessons_are_copied(tmp_path):
    done = copy_lessons(tmp_path / "work")
    names = {path.name for path in shipped("course").iterdir() if path.suffix in copy.COPIED} | {"AGENTS.md"}
    assert "evaluate_coco.py" in names
    assert {path.name for path in done.new} == names
    assert len(copy_lessons(tmp_path / "work").kept) == len(names)


def test_an_agents_file_says_what_may_be_delegated(tmp_path, course):
    copy_lessons(tmp_path / "work")
    path = tmp_path / "work" / "AGENTS.md"
    assert "## delegate" in path.read_text(encoding="utf-8")
    path.write_text("my own rules")
    copy_lessons(tmp_path / "work")
    assert path.read_text() == "my own rules"


def test_what_was_worked_on_stays(tmp_path, course):
    mine = copy_lessons(tmp_path / "work").new[0]
    mine.write_text("my own work")
    assert copy_lessons(tmp_path / "work").beside == []
    assert mine.read_text() == "my own work"


def test_a_newer_lesson_comes_beside_what_was_worked_on(tmp_path, course):
    work = tmp_path / "work"
    copy_lessons(work)
    (work / "00_a.ipynb").write_text("my own work")
    for name in ("00_a.ipynb", "01_b.ipynb"):
        (course / name).write_text("second version")
    done = copy_lessons(work)
    assert [path.name for path in done.replaced] == ["01_b.ipynb"]
    assert [path.name for path in done.beside] == ["00_a.new.ipynb"]
    assert (work / "00_a.ipynb").read_text() == "my own work"
    assert (work / "00_a.new.ipynb").read_text() == "second version"
    assert copy_lessons(work).beside == []  # said once


def test_without_the_note_everything_counts_as_worked_on(tmp_path, course):
    work = tmp_path / "work"
    copy_lessons(work)
    (work / copy.NOTE).write_text("{")
    (course / "00_a.ipynb").write_text("second version")
    assert [path.name for path in copy_lessons(work).beside] == ["00_a.new.ipynb"]


def test_a_link_out_of_the_folder_leads_to_the_web_or_becomes_words():
    text = "see [a\n small class](../src/a/b.py), [the log](../docs/log.md), [05](05_the_rpn.ipynb)"
    web = copy.relinked(text, "https://example.org/course")
    assert "[a\n small class](https://example.org/course/blob/main/src/a/b.py)" in web
    assert copy.relinked(text, "") == "see a\n small class, the log, [05](05_the_rpn.ipynb)"


def test_a_parenthesis_that_holds_only_a_link_goes_with_it():
    text = "a guess ([how it is timed](../src/b.py)). ([The log](../docs/log.md).) More (see [c](../src/c.py))."
    assert copy.relinked(text, "") == "a guess. More (see c)."
    assert "([The log](https://example.org/blob/main/docs/log.md).)" in copy.relinked(text, "https://example.org")


def test_the_words_of_a_link_stand_alone():
    """Without the repository's address, a copy keeps only the words of a link out of its folder."""
    paths = [path for path in shipped("course").iterdir() if path.suffix in (".ipynb", ".md")]
    pages = [path.read_text(encoding="utf-8") for path in paths]
    texts = [copy.ASIDE.sub("", page) for page in pages]
    words = [words for text in texts for words, _ in copy.LINK.findall(text)]
    assert words
    pointing = re.compile(r"\b(here|code|log|experiment)$|\.\w+`?$", re.IGNORECASE)
    assert [each for each in words if pointing.search(each)] == []
    new = [line for page, text in zip(pages, texts, strict=True) for line in {*text.split("\n")} - {*page.split("\n")}]
    assert [line for line in new if re.match(r' *"?[:.,;]', line)] == []


def test_no_link_of_a_copy_leads_out_of_its_folder(tmp_path):
    copy_lessons(tmp_path)
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix in (".ipynb", ".md")]
    assert not any("](../" in text for text in texts)


def test_the_address_is_that_of_the_installed_package(monkeypatch):
    message = Message()
    message["Project-URL"] = "Homepage, https://example.org"
    message["Project-URL"] = "Repository, https://example.org/course/"
    monkeypatch.setattr(copy, "metadata", lambda _: message)
    assert copy.repository() == "https://example.org/course"
