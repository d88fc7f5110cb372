import importlib.util
import inspect
from pathlib import Path

import pytest
import torch

from coursekit.errors import SettingError
from coursekit.lessons import workbook
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.judge import NotCorrectError, check, chosen, compare, judge

MISTAKES = Path(__file__).parents[1] / "mistakes"


def _answers(name):
    spec = importlib.util.spec_from_file_location(name, MISTAKES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(inspect.getmembers(module, inspect.isfunction))


def _stored(name, function):
    source = inspect.getsource(function).replace(function.__name__, name, 1)
    workbook.store(name, f"import torch\nfrom torch import Tensor\n\n\n{source}")
    return judge(name, EXERCISES[name])


@pytest.fixture(autouse=True)
def own_workbook(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "my_detector"))
    return tmp_path / "my_detector"


ALL = [(name, key) for name in EXERCISES for key in _answers(name)]


def test_every_exercise_has_its_mistakes():
    for name in EXERCISES:
        assert sum(key.startswith("wrong_") for key in _answers(name)) >= 5
        assert sum(key.startswith("right_") for key in _answers(name)) >= 1


@pytest.mark.parametrize(("name", "key"), ALL)
def test_wrong_answers_are_rejected_and_right_ones_accepted(name, key):
    verdict = _stored(name, _answers(name)[key])
    assert verdict.state == ("correct" if key.startswith("right_") else "not yet"), str(verdict)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_accepted(name):
    _stored(name, EXERCISES[name].reference)
    assert check(name).state == "correct"


def test_the_message_shows_what_came_and_what_was_expected():
    verdict = _stored("xywh_to_xyxy", _answers("xywh_to_xyxy")["wrong_counts_the_last_pixel_out"])
    assert "[[10.0, 20.0, 40.0, 60.0]] was expected, [[10.0, 20.0, 39.0, 59.0]] came" in str(verdict)


def test_not_started(own_workbook):
    assert check("xywh_to_xyxy").state == "not started"
    workbook.store("xywh_to_xyxy", "def xywh_to_xyxy(boxes):\n    raise NotImplementedError('your code here')\n")
    assert check("xywh_to_xyxy").state == "not started"


def test_an_exception_inside_the_answer_is_part_of_the_verdict():
    workbook.store("xywh_to_xyxy", "def xywh_to_xyxy(boxes):\n    return boxes.corners\n")
    verdict = check("xywh_to_xyxy")
    assert verdict.state == "not yet"
    assert "AttributeError" in str(verdict)


def test_the_name_stands_for_the_answer_only_where_it_is_right():
    reference = EXERCISES["xywh_to_xyxy"].reference
    assert chosen("xywh_to_xyxy") is reference
    _stored("xywh_to_xyxy", _answers("xywh_to_xyxy")["wrong_swaps_the_axes"])
    assert chosen("xywh_to_xyxy") is reference
    _stored("xywh_to_xyxy", _answers("xywh_to_xyxy")["right_by_concatenation"])
    assert chosen("xywh_to_xyxy").__module__ == "my_detector.xywh_to_xyxy"


def test_strictly_anything_but_correct_raises(monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    with pytest.raises(NotCorrectError, match="not started"):
        check("xywh_to_xyxy")


def test_an_unknown_exercise_is_named():
    with pytest.raises(SettingError, match="no exercise 'nsm'"):
        check("nsm")


def test_a_name_that_is_no_module_is_refused():
    with pytest.raises(SettingError, match="give the name"):
        workbook.store("../evil", "")


def test_cases_are_drawn_alike_each_time():
    exercise = EXERCISES["xywh_to_xyxy"]
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    for (first,), (second,) in zip(*(exercise.cases(generator) for generator in generators), strict=True):
        assert compare(lambda boxes, fixed=exercise.reference(second): fixed, exercise.reference, (first,)) is None
