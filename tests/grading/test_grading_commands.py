import csv

import pytest

from tests.grading.classroom import solutions, workbook
from tests.grading.hostile_files import NAMES, ZIPS, special_files

pytestmark = pytest.mark.slow


def test_submit_then_grade(coursekit, tmp_path):
    workbook(tmp_path / "work", {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]}, hints=1)
    done = coursekit("submit", tmp_path / "work", "--name", "anna", "--out", tmp_path / "class")
    assert done.returncode == 0
    assert "anna.zip: 1 answer, progress.json." in done.stdout
    words = ("grade", tmp_path / "class", "--out", tmp_path / "out", "--lesson", 0, "--hint-penalty", 0.2, "--unsafe")
    done = coursekit(*words)
    assert done.returncode == 0
    assert "answers run as you" in done.stderr
    assert "1 submission, 1 answer tried" in done.stdout
    assert "anna,6.4,28,22.9,1," in (tmp_path / "out" / "grades.csv").read_text()


def test_what_can_be_put_right_is_one_line(coursekit, tmp_path):
    graded = coursekit("grade", tmp_path / "none", "--out", tmp_path / "out", "--unsafe")
    submitted = coursekit("submit", tmp_path, "--name", "anna")
    assert (graded.returncode, submitted.returncode) == (2, 2)
    assert [len(command.stderr.splitlines()) for command in (graded, submitted)] == [
        2,
        1,
    ]  # the first warns of --unsafe, too


def test_everybody_gets_a_row_whatever_the_others_hand_in(coursekit, tmp_path, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "out"
    workbook(folder / "zoe", {name: solutions()[name] for name in ("xywh_to_xyxy", "box_iou")})
    for kind, content in ZIPS.items():
        (folder / f"{kind}.zip").write_bytes(content())
    for name in NAMES:
        (folder / name).mkdir()
    monkeypatch.chdir(folder)
    special = special_files(folder)
    (folder / ".bea").mkdir()
    (folder / "cem\x1b[2J.rar").touch()
    done = coursekit("grade", folder, "--out", out, "--lesson", 0, "--unsafe")
    assert done.returncode == 0
    assert "not graded: .bea, cem�[2J.rar." in done.stderr
    assert len(done.stderr.splitlines()) == 2
    rows = list(csv.DictReader((out / "grades.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == 1 + len(ZIPS) + len(NAMES) + len(special)
    assert {row["intern"]: row["points"] for row in rows}["zoe"] == "28.0"
    assert len(list((out / "feedback").glob("*.html"))) == len(list((out / "marks").glob("*.json"))) == len(rows)
    class_page = (out / "class.html").read_text(encoding="utf-8")
    assert "it is encrypted, and was not read" in class_page
    assert not set("\x1b\u202e") & set(class_page)
