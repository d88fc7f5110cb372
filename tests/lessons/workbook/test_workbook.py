import importlib

import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.workbook.workbook import Workbook
from tests.lessons.answers import IOU

EMPTY = 'def box_iou(first, second):\n    raise NotImplementedError("box_iou: your code here")\n'


def test_an_answer_becomes_a_module(workbook):
    assert workbook.store("box_iou", IOU).module.__name__ == "my_detector.box_iou"
    assert (workbook.folder / "box_iou.py").read_text() == IOU
    assert workbook.code_of("box_iou") == IOU


def test_former_versions_are_kept(workbook):
    for version in range(3):
        workbook.store("box_iou", f"{IOU}# {version}\n")
    former = sorted((workbook.folder / "former").glob("*.py"))
    assert [path.name for path in former] == ["box_iou-001.py", "box_iou-002.py"]
    assert former[0].read_text().endswith("# 0\n")


def test_the_same_code_again_is_not_a_new_version(workbook):
    workbook.store("box_iou", IOU)
    workbook.store("box_iou", IOU)
    assert not (workbook.folder / "former").exists()


def test_an_empty_cell_replaces_nothing(workbook):
    workbook.store("box_iou", IOU)
    stored = workbook.store("box_iou", EMPTY)
    assert stored.older_kept
    assert workbook.code_of("box_iou") == IOU


def test_an_empty_cell_is_not_an_answer(workbook):
    workbook.store("box_iou", EMPTY)
    assert workbook.code_of("box_iou") is None


@pytest.mark.parametrize("name", ["../evil", "a b", "__init__", "former", "class", ""])
def test_a_name_that_cannot_be_a_module_is_refused(workbook, name):
    with pytest.raises(ConfigError, match="give the name"):
        workbook.store(name, "")


def test_two_answers_in_one_second_are_distinguished(workbook):
    assert workbook.store("box_iou", "box_iou = 1\n").module.box_iou == 1
    assert workbook.store("box_iou", "box_iou = 2\n").module.box_iou == 2


def test_my_detector_is_the_workbook_that_was_made_importable_last(tmp_path):
    first, second = (Workbook(tmp_path / name / "my_detector") for name in ("first", "second"))
    for number, workbook in enumerate((first, second), 1):
        workbook.store("helper", f"helper = {number}\n")
        assert importlib.import_module("my_detector").workbook is workbook
    assert (first.answer("helper").helper, second.answer("helper").helper) == (1, 2)
    first.make_importable()
    assert importlib.import_module("my_detector").workbook is first


def test_a_trial_writes_no_progress(workbook):
    workbook.store("box_iou", IOU)
    tried = Workbook(workbook.folder, in_trial=True)
    assert state_of(tried, "box_iou") == "not yet"
    assert not workbook.beside("progress.json").exists()
    assert state_of(workbook, "box_iou") == "correct"
