import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.workbook import workbook
from tests.lessons.answers import IOU

EMPTY = 'def box_iou(first, second):\n    raise NotImplementedError("box_iou: your code here")\n'


def test_an_answer_becomes_a_module(own_workbook):
    assert workbook.store("box_iou", IOU).module.__name__ == "my_detector.box_iou"
    assert (own_workbook / "box_iou.py").read_text() == IOU
    assert workbook.code_of("box_iou") == IOU


def test_former_versions_are_kept(own_workbook):
    for version in range(3):
        workbook.store("box_iou", f"{IOU}# {version}\n")
    former = sorted((own_workbook / "former").glob("*.py"))
    assert [path.name for path in former] == ["box_iou-001.py", "box_iou-002.py"]
    assert former[0].read_text().endswith("# 0\n")


def test_the_same_again_is_no_version(own_workbook):
    workbook.store("box_iou", IOU)
    workbook.store("box_iou", IOU)
    assert not (own_workbook / "former").exists()


def test_an_empty_cell_replaces_nothing():
    workbook.store("box_iou", IOU)
    stored = workbook.store("box_iou", EMPTY)
    assert stored.older_kept
    assert workbook.code_of("box_iou") == IOU


def test_an_empty_cell_is_no_answer():
    workbook.store("box_iou", EMPTY)
    assert workbook.code_of("box_iou") is None


@pytest.mark.parametrize("name", ["../evil", "a b", "__init__", "former", "class", ""])
def test_a_name_that_is_no_module_is_refused(name):
    with pytest.raises(ConfigError, match="give the name"):
        workbook.store(name, "")


def test_two_answers_in_one_second_are_told_apart():
    assert workbook.store("box_iou", "box_iou = 1\n").module.box_iou == 1
    assert workbook.store("box_iou", "box_iou = 2\n").module.box_iou == 2
