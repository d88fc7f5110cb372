import time

import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.runner import Trial
from coursekit.lessons.checking.verdict import NotCorrectError, check, first_problem, outcomes_of, state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import progress, workbook
from tests.lessons.answers import IOU, answers, store


def _verdict(body, name="box_iou"):
    workbook.store(name, f"import torch\n\n\ndef {name}(first, second):\n    {body}\n")
    return check(name)


def test_not_started():
    assert check("xywh_to_xyxy").state == "not started"
    workbook.store("xywh_to_xyxy", "def xywh_to_xyxy(boxes):\n    raise NotImplementedError('mine')\n")
    assert check("xywh_to_xyxy").state == "not started"


def test_not_yet_shows_what_was_tried_what_came_and_what_was_expected():
    store("xywh_to_xyxy", answers("xywh_to_xyxy")["wrong_counts_the_last_pixel_out"])
    problem = check("xywh_to_xyxy").problem
    assert "one box: boxes=[[10.0, 20.0, 30.0, 40.0]]" in problem.tried
    assert problem.came == "[[10.0, 20.0, 39.0, 59.0]]"
    assert problem.expected == "[[10.0, 20.0, 40.0, 60.0]]"


def test_the_likely_mistake_is_named_from_the_second_different_attempt_on():
    wrong = answers("nms")
    store("nms", wrong["wrong_one_shot"])
    assert check("nms").likely == ""
    assert check("nms").likely == ""  # the same answer is no second attempt
    store("nms", wrong["wrong_in_the_order_given"])
    assert "not sorted" in check("nms").likely
    store("nms", wrong["wrong_one_shot"])
    assert "one-shot" in check("nms").likely
    assert progress.record("nms").attempts[0] != progress.record("nms").attempts[1]


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        "import os; os._exit(3)",
        "raise SystemExit",
        "return first.corners",
        "return None",
        "return torch.full((len(first), len(second)), float('nan'), dtype=first.dtype)",
        "first += 1; return first",
        "return print('x' * 200_000_000)",
        "return torch.zeros(10**13)",
        "return type('Liar', (), {'__eq__': lambda *_: True})()",
    ],
)
def test_whatever_an_answer_does_it_ends_in_a_verdict_in_time(body):
    start = time.process_time()
    verdict = _verdict(body)
    assert verdict.state == "not yet", str(verdict)
    assert time.process_time() - start < 2


def test_an_exception_is_shown_at_the_interns_line():
    came = _verdict("return first.corners").problem.came
    assert "AttributeError" in came
    assert "line 5 of your cell: return first.corners" in came


def test_a_cell_that_does_not_run_is_not_yet():
    with pytest.raises(SyntaxError):
        workbook.store("box_iou", "def box_iou(first, second)\n    return 1\n")
    verdict = check("box_iou")
    assert verdict.state == "not yet"
    assert "SyntaxError" in verdict.problem.came


def test_a_cell_without_the_function_says_so():
    workbook.store("box_iou", "iou = 1\n")
    assert "defines nothing called box_iou" in check("box_iou").problem.came


def test_what_it_prints_is_shown_in_part():
    assert _verdict("print('look'); return first").printed.startswith("look")


@pytest.mark.parametrize(
    "code",
    [
        "from torchvision.ops import nms\n",
        "import torchvision.ops as o\n\n\ndef nms(boxes, scores, threshold):\n"
        "    return o.nms(boxes, scores, threshold)\n",
        "from coursekit.detector import nms as theirs\n\ndef nms(boxes, scores, threshold):\n"
        "    return theirs(boxes, scores, threshold)\n",
        "from my_detector import nms as course\n\ndef nms(*args):\n    return course(*args)\n",
    ],
)
def test_borrowed(code):
    workbook.store("nms", code)
    verdict = check("nms")
    assert verdict.state == "borrowed", str(verdict)
    assert "nms" in verdict.message


def test_correct_is_drawn_and_plain():
    workbook.store("box_iou", IOU)
    verdict = check("box_iou")
    assert verdict.state == "correct"
    assert "box_iou is yours" in str(verdict)
    assert "✓" in verdict._repr_html_()


def test_html_shows_code_as_text():
    html = _verdict("print('<script>alert(1)</script>'); return first")._repr_html_()
    assert "<script>" not in html


def test_strictly_anything_but_correct_raises(monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    with pytest.raises(NotCorrectError, match="not started"):
        check("xywh_to_xyxy")
    workbook.store("nms", "from torchvision.ops import nms\n")
    with pytest.raises(NotCorrectError, match="borrowed"):
        check("nms")


def test_an_unknown_exercise_is_named():
    with pytest.raises(ConfigError, match="did you mean 'nms'"):
        check("nsm")


def test_a_state_follows_the_code(own_workbook):
    workbook.store("box_iou", IOU)
    assert state_of("box_iou") == "correct"
    (own_workbook / "box_iou.py").write_text(IOU.replace(".clamp(min=0)", ""))  # in an editor
    assert state_of("box_iou") == "not yet"


def test_cases_are_drawn_alike_each_time():
    for exercise in EXERCISES.values():
        assert [case.words for case in exercise.all_cases()] == [case.words for case in exercise.all_cases()]


def test_an_end_before_the_last_case_is_no_answer():
    exercise = EXERCISES["box_iou"]
    some = outcomes_of(exercise, exercise.reference)[:2]
    assert first_problem(exercise, Trial(some, ended="well")) is not None
