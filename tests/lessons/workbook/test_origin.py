import json

import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.workbook.origin import note_origin
from coursekit.lessons.workbook.status import status
from tests.lessons.answers import IOU


def test_how_an_answer_came_about_is_kept(workbook, tmp_path):
    workbook.store("box_iou", IOU)
    check(workbook, "box_iou")
    note_origin(workbook, "box_iou", "after an explanation")
    check(workbook, "box_iou")
    assert json.loads((tmp_path / "progress.json").read_text())["exercises"]["box_iou"]["state"] == "correct"
    assert status(workbook)[0].origins == {"box_iou": "after an explanation"}


def test_only_three_answers_are_possible(workbook):
    with pytest.raises(ConfigError, match="'generated'"):
        note_origin(workbook, "box_iou", "found")
