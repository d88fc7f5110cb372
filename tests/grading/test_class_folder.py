from pathlib import Path

import pytest

from coursekit.core.errors import ConfigError
from coursekit.grading.class_folder import NAME_BYTES, name_for_files, not_graded, submissions
from tests.grading.hostile_files import NAMES, special_files


def test_any_name_becomes_one_that_can_be_a_files_and_no_two_are_alike(tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
    named = submissions(tmp_path)
    assert len(named) == len(NAMES)
    assert set(named.values()) == {tmp_path / name for name in NAMES}
    assert len({name.casefold() for name in named}) == len(NAMES)
    for name in named:
        assert name.isprintable()
        assert len(f".4194304-{name}.json".encode()) < 143
        assert not set('<>:"/\\|?*') & set(name)
        assert name.strip(" .") == name
        (tmp_path / f"{name}.json").touch()


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("anna-berg", "anna-berg"), ("Żółć 李", "Żółć 李"), ("con", "_con"), ("Aux.v2", "_Aux.v2"),
        ("console", "console"),
        ("...", "unnamed"), ("", "unnamed"), ("e\u0301", "é"), ("a\x00b", "a_b"), ("anna. ", "anna"),
    ],
)  # fmt: skip
def test_name_for_files(name, becomes):
    assert name_for_files(name) == becomes
    assert name_for_files(becomes) == becomes


def test_long_names_are_cut_between_characters():
    assert name_for_files("面" * 83) == "面" * (NAME_BYTES // 3)
    assert name_for_files("a" + "面" * 83) == "a" + "面" * ((NAME_BYTES - 1) // 3)


def test_suffixes_count_in_capitals_too(tmp_path):
    for name in ("Upper.IPYNB", "Bea.ZIP", "cem.Zip"):
        (tmp_path / name).touch()
    assert list(submissions(tmp_path)) == ["Bea", "Upper", "cem"]
    assert not not_graded(tmp_path)


def test_what_is_not_graded_is_named_in_one_line(tmp_path):
    (tmp_path / "anna.zip").touch()
    for name in (".git", ".bea"):
        (tmp_path / name).mkdir()
    for name in ("cem.rar", ".DS_Store", "a\x1b[2J\u202e.txt"):
        (tmp_path / name).touch()
    said = not_graded(tmp_path)
    assert ".DS_Store, .bea, .git" in said
    assert "cem.rar" in said
    assert said.isprintable()
    for number in range(60_000 // 100):
        (tmp_path / f"{number}.txt").touch()
    assert len(not_graded(tmp_path)) < 600 + len(str(tmp_path))
    assert "and 597 more" in not_graded(tmp_path)
    assert list(submissions(tmp_path)) == ["anna"]


def test_links_pipes_and_sockets_are_submissions_that_get_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert special_files(tmp_path) == set(submissions(tmp_path))


def test_one_interns_work_is_one_submission(tmp_path):
    for name in ("my_detector", "runs"):
        (tmp_path / name).mkdir()
    for name in ("03_the_fpn.ipynb", "scratch.ipynb", "anna.zip", "progress.json"):
        (tmp_path / name).touch()
    assert list(submissions(tmp_path).values()) == [tmp_path]
    assert not not_graded(tmp_path)


@pytest.mark.parametrize("name", ["my_detector", "03_the_fpn.ipynb"])
def test_a_submission_named_like_a_part_of_the_work_does_not_take_the_others_with_it(tmp_path, name):
    for other in ("anna", "bea"):
        (tmp_path / other / "my_detector").mkdir(parents=True)
    (tmp_path / "cem.ipynb").touch()
    (tmp_path / name).mkdir()
    assert len(submissions(tmp_path)) == 4


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "anna" / "my_detector").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "anna")
    assert list(submissions(Path())) == ["anna"]


def test_nothing_to_grade(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        submissions(tmp_path / "none")
    (tmp_path / ".anna").mkdir()
    with pytest.raises(ConfigError, match="nothing to grade"):
        submissions(tmp_path)
