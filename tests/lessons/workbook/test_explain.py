import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.workbook.explain import explain
from tests.lessons.answers import IOU, answer


def test_the_badge_comes_first_then_the_failing_case_then_the_code(workbook):
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    lines = explain(workbook, "nms").splitlines()
    assert lines[0].startswith("Badge of this exercise: by hand. I write this without you")
    assert lines[2] == "My nms fails its check."
    assert lines[3].startswith("Tried on: a chain of three: the first drops the second: boxes=[[")
    assert lines[4].startswith("Got: the shape (1,), [0]")
    assert lines[5] == "Expected: (2,), [0, 2]"
    assert "    return order[~overlap.any(0)]" in lines


@pytest.mark.parametrize(("name", "badge"), [("FPN", "explain only"), ("collate", "delegate")])
def test_before_there_is_code_it_is_the_badge(workbook, name, badge):
    assert f": {badge}. " in explain(workbook, name)
    assert "no code yet" in explain(workbook, name)


def test_a_right_answer_has_nothing_that_fails(workbook):
    workbook.store("box_iou", IOU)
    assert "My box_iou passes its check." in explain(workbook, "box_iou")


def test_an_unknown_name_is_an_error(workbook):
    with pytest.raises(ConfigError, match="did you mean"):
        explain(workbook, "nmss")


def test_the_command_prints_it(coursekit, workbook, tmp_path):
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    done = coursekit("explain", "nms", tmp_path)
    assert done.stdout.startswith("Badge of this exercise: by hand.")
    assert "Got: the shape (1,)" in done.stdout
    assert coursekit("explain", "nms", tmp_path / "none").returncode == 2
    assert coursekit("explain", "nmss", tmp_path).returncode == 2
