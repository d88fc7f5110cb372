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
    names = {path.name for path in shipped("course").iterdir() if path.suffix in (".ipynb", ".md")}
    assert {path.name for path in done.new} == names
    assert len(copy_lessons(tmp_path / "work").kept) == len(names)


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
