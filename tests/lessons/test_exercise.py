import pytest

from coursekit.lessons.exercises import EXERCISES


def test_the_arguments_of_a_case_have_the_names_of_the_reference():
    assert EXERCISES["nms"].argument_names() == ["boxes", "scores", "iou_threshold"]


@pytest.mark.parametrize("name", ["propose", "rpn_losses", "roi_align", "pool_levels"])
def test_arguments_that_are_only_passed_on_have_the_names_of_the_reference(name):
    exercise = EXERCISES[name]
    names = exercise.argument_names()
    assert not {"rest", "more", "args"} & {*names}
    assert len(names) >= max(len(case.args) for case in exercise.all_cases())


def test_a_call_of_its_own_names_its_arguments():
    assert EXERCISES["RPNHead"].argument_names() == ["channels", "anchors", "levels", "weights"]
