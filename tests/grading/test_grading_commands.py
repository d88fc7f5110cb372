import pytest

from tests.grading.classroom import solutions, workbook

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
    assert "anna,4.0,20,20.0,1," in (tmp_path / "out" / "grades.csv").read_text()


def test_what_can_be_put_right_is_one_line(coursekit, tmp_path):
    graded = coursekit("grade", tmp_path / "none", "--out", tmp_path / "out", "--unsafe")
    submitted = coursekit("submit", tmp_path, "--name", "anna")
    assert (graded.returncode, submitted.returncode) == (2, 2)
    assert [len(one.stderr.splitlines()) for one in (graded, submitted)] == [2, 1]  # the first warns of --unsafe, too
