import json

import pytest

from coursekit.lessons.checking.verdict import check, state_of
from coursekit.lessons.course import LESSONS
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import hints, progress
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.status import status
from tests.lessons.answers import IOU


def test_progress_is_a_plain_file_beside_the_notebooks(workbook, tmp_path):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    content = json.loads((tmp_path / "progress.json").read_text())
    assert content["exercises"]["box_iou"]["state"] == "correct"


@pytest.mark.parametrize("content", [b"", b"{", b'{"exercises": 3}', b"\xff\xfe", b"[]"])
def test_a_damaged_file_is_set_aside_and_states_are_found_again(workbook, tmp_path, content):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    (tmp_path / "progress.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"progress\.json: damaged"):
        assert state_of(workbook, "box_iou") == "correct"
    assert (tmp_path / "progress.broken.json").read_bytes() == content
    assert progress.record(workbook, "box_iou").state == "correct"
    (tmp_path / "progress.json").write_bytes(content)
    with pytest.warns(UserWarning, match="broken-2"):
        progress.load(workbook)


def test_hints_open_one_at_a_time_and_are_counted(workbook):
    assert "2 hints left" not in hints.open_hint(workbook, "nms")
    assert "There are 2 hints left" in hints.show_reference(workbook, "nms")
    assert hints.open_hint(workbook, "nms").startswith("Hint 2 of 3")
    assert "Hint 1" not in hints.open_hint(workbook, "nms")
    assert progress.record(workbook, "nms").hints == 3
    assert not progress.record(workbook, "nms").seen
    assert "def nms" in hints.show_reference(workbook, "nms")
    assert progress.record(workbook, "nms").seen
    assert hints.open_hint(workbook, "nms").count("Hint ") == 3
    assert progress.record(workbook, "nms").hints == 3


def test_status_counts_what_is_left(workbook):
    before = {lesson.number: lesson for lesson in status(workbook)}
    workbook.store("box_iou", IOU)
    after = {lesson.number: lesson for lesson in status(workbook)}
    assert before[0].left - after[0].left == EXERCISES["box_iou"].minutes
    assert after[0].states["box_iou"] == "correct"
    assert not after[0].is_passed
    assert list(after) == list(LESSONS)
    assert [lesson.number for lesson in after.values() if lesson.optional] == [11, 12]
    assert after[11].name == "11 One stage (optional)"


def test_a_check_keeps_the_hints(workbook):
    hints.open_hint(workbook, "box_iou")
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    assert progress.record(workbook, "box_iou").hints == 1


def test_the_journal_is_kept(workbook, tmp_path):
    journals.write(workbook, "03", asked="what is a stride?", kept="nothing")
    form = journals.form(workbook, "03")
    fields = [part for part in form.children if "Textarea" in type(part).__name__]
    fields[1].value = "a step"
    form.children[-2].click()
    assert [entry.asked for entry in journals.entries(workbook)] == ["what is a stride?", ""]
    assert journals.entries(workbook)[1].answered == "a step"
    assert fields[1].value == ""
    assert "2 entries" in form.children[-1].value
    form.children[-2].click()  # nothing filled in
    assert len(journals.entries(workbook)) == 2


def test_the_command_shows_the_status_of_a_folder_or_of_the_workbook_here(coursekit, workbook, tmp_path, monkeypatch):
    workbook.store("box_iou", IOU)
    states = json.loads(coursekit("lessons", "status", workbook.folder.parent, "--json").stdout)[0]["states"]
    assert states["box_iou"] == "correct"
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(workbook.folder))
    assert json.loads(coursekit("lessons", "status", "--json").stdout)[0]["states"] == states
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "other" / "my_detector"))
    states = json.loads(coursekit("lessons", "status", "--json").stdout)[0]["states"]
    assert states["box_iou"] == "not started"
    assert coursekit("lessons", "status", tmp_path / "none").returncode == 2
