import json

import pytest

from coursekit.lessons.checking.verdict import check, state_of
from coursekit.lessons.workbook import hints, progress, workbook
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.status import status
from tests.lessons.answers import IOU


def test_progress_is_a_plain_file_beside_the_notebooks(tmp_path):
    workbook.store("box_iou", IOU)
    check("box_iou")
    content = json.loads((tmp_path / "progress.json").read_text())
    assert content["exercises"]["box_iou"]["state"] == "correct"


@pytest.mark.parametrize("content", [b"", b"{", b'{"exercises": 3}', b"\xff\xfe", b"[]"])
def test_a_broken_file_is_set_aside_and_states_are_found_again(tmp_path, content):
    workbook.store("box_iou", IOU)
    check("box_iou")
    (tmp_path / "progress.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"progress\.json: damaged"):
        assert state_of("box_iou") == "correct"
    assert (tmp_path / "progress.broken.json").read_bytes() == content
    assert progress.record("box_iou").state == "correct"
    (tmp_path / "progress.json").write_bytes(content)
    with pytest.warns(UserWarning, match="broken-2"):
        progress.load()


def test_hints_open_one_at_a_time_and_are_counted():
    assert "2 hints left" not in hints.open_hint("nms")
    assert "There are 2 hints left" in hints.show_reference("nms")
    assert hints.open_hint("nms").startswith("Hint 2 of 3")
    assert "Hint 1" not in hints.open_hint("nms")
    assert progress.record("nms").hints == 3
    assert not progress.record("nms").seen
    assert "def nms" in hints.show_reference("nms")
    assert progress.record("nms").seen
    assert hints.open_hint("nms").count("Hint ") == 3
    assert progress.record("nms").hints == 3


def test_status_counts_what_is_left():
    before = {one.number: one for one in status()}
    workbook.store("box_iou", IOU)
    after = {one.number: one for one in status()}
    assert before[0].left - after[0].left == 15
    assert after[0].states["box_iou"] == "correct"
    assert not after[0].is_passed
    assert sorted(after) == list(range(11))


def test_a_check_keeps_the_hints():
    hints.open_hint("box_iou")
    workbook.store("box_iou", IOU)
    check("box_iou")
    assert progress.record("box_iou").hints == 1


def test_the_journal_is_kept(tmp_path):
    journals.write("03", asked="what is a stride?", kept="nothing")
    form = journals.form("03")
    fields = [one for one in form.children if hasattr(one, "placeholder") and "Textarea" in type(one).__name__]
    fields[1].value = "a step"
    form.children[-2].click()
    assert [one.asked for one in journals.entries()] == ["what is a stride?", ""]
    assert journals.entries()[1].answered == "a step"
    assert fields[1].value == ""
    assert "2 entries" in form.children[-1].value
    form.children[-2].click()  # nothing filled in
    assert len(journals.entries()) == 2
