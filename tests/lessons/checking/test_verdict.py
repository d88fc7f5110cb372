import time

import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.inside_process import Trial
from coursekit.lessons.checking.outcome import outcomes
from coursekit.lessons.checking.verdict import NotCorrectError, Verdict, check, first_problem, state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.stubs import empty_line
from tests.lessons.answers import IOU, answer


def _verdict(workbook, body, name="box_iou"):
    workbook.store(name, f"import torch\n\n\ndef {name}(first, second):\n    {body}\n")
    return check(workbook, name)


def test_not_started(workbook):
    assert check(workbook, "xywh_to_xyxy").state == "not started"
    workbook.store("xywh_to_xyxy", f"def xywh_to_xyxy(boxes):\n    {empty_line('xywh_to_xyxy')}\n")
    assert check(workbook, "xywh_to_xyxy").state == "not started"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise NotImplementedError('mine')", "NotImplementedError: mine"),
        ("return first - (first > 0) - torch.ones(1, dtype=torch.bool) - (first > 0)", "NotImplementedError"),
        ("return (first > 0) - (second > 0)", "Error"),
        (f"return None  # {empty_line('box_iou')}", "None"),
        (f"return None\n    {empty_line('box_iou')}", "None"),
    ],
)
def test_an_error_that_is_not_the_stub_is_shown_as_what_it_is(workbook, body, words):
    verdict = _verdict(workbook, body)
    assert verdict.state == "not yet"
    assert words in verdict.problem.got or "Error" in verdict.problem.got


def test_one_of_two_places_filled_in_is_stored_and_the_other_named(workbook):
    code = (
        "from torch import nn\n\n\nclass FPN(nn.Module):\n    def __init__(self, in_channels, out_channels=96):\n"
        "        super().__init__()\n        self.lateral = nn.ModuleList()\n\n    def forward(self, maps):\n"
        f"        {empty_line('FPN')}\n"
    )
    workbook.store("FPN", code)
    verdict = check(workbook, "FPN")
    assert verdict.state == "not yet"
    assert verdict.message == "Still to be written: line 11 of your cell."


def test_not_yet_shows_what_was_tried_what_the_answer_gave_and_what_was_expected(workbook):
    workbook.store("xywh_to_xyxy", answer("xywh_to_xyxy", "wrong_counts_the_last_pixel_out"))
    problem = check(workbook, "xywh_to_xyxy").problem
    assert "one box: boxes=[[10.0, 20.0, 30.0, 40.0]]" in problem.tried
    assert problem.got == "[[10.0, 20.0, 39.0, 59.0]]"
    assert problem.expected == "[[10.0, 20.0, 40.0, 60.0]]"


@pytest.mark.slow
def test_the_likely_mistake_is_named_from_the_second_different_attempt_on(workbook):
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    assert check(workbook, "nms").likely == ""
    assert check(workbook, "nms").likely == ""  # the same answer is no second attempt
    workbook.store("nms", answer("nms", "wrong_in_the_order_given"))
    assert "not sorted" in check(workbook, "nms").likely
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    assert "one-shot" in check(workbook, "nms").likely
    assert progress.record(workbook, "nms").attempts[0] != progress.record(workbook, "nms").attempts[1]


@pytest.mark.slow
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
def test_whatever_an_answer_does_there_is_a_verdict_in_time(workbook, body):
    start = time.process_time()
    verdict = _verdict(workbook, body)
    assert verdict.state == "not yet", str(verdict)
    assert time.process_time() - start < 2


def test_an_exception_is_shown_with_the_interns_line(workbook):
    got = _verdict(workbook, "return first.corners").problem.got
    assert "AttributeError" in got
    assert "line 6 of your cell: return first.corners" in got  # `%%exercise` is line 1


def test_a_cell_that_does_not_run_is_not_yet(workbook):
    with pytest.raises(SyntaxError):
        workbook.store("box_iou", "def box_iou(first, second)\n    return 1\n")
    verdict = check(workbook, "box_iou")
    assert verdict.state == "not yet"
    assert "SyntaxError" in verdict.problem.got


def test_a_cell_without_the_function_says_so(workbook):
    workbook.store("box_iou", "iou = 1\n")
    assert "doesn't define anything called box_iou" in check(workbook, "box_iou").problem.got


def test_the_beginning_of_what_it_prints_is_shown(workbook):
    assert _verdict(workbook, "print('look'); return first").printed.startswith("look")


@pytest.mark.parametrize(
    "code",
    [
        "from torchvision.ops import nms\n",
        "import torchvision.ops as o\n\n\ndef nms(boxes, scores, threshold):\n"
        "    return o.nms(boxes, scores, threshold)\n",
        "from coursekit.detector import nms as theirs\n\ndef nms(boxes, scores, threshold):\n"
        "    return theirs(boxes, scores, threshold)\n",
        "from my_detector import nms as course\n\ndef nms(*args):\n    return course(*args)\n",
        "from coursekit.lessons.exercises.nms import EXERCISE\n\n"
        "def nms(*args):\n    return EXERCISE.reference(*args)\n",
        "import importlib\n\ndef nms(*args):\n"
        "    return importlib.import_module('coursekit.lessons.exercises.nms').EXERCISE.right[0](*args)\n",
        "import torch\n\ndef nms(*args):\n    return torch.ops.torchvision.nms(*args)\n",
        "import torchvision.ops as ops\n\ntheirs = ops.nms\n\ndef nms(*args):\n    return theirs(*args)\n",
        "from torchvision.ops import *\nhelp_me = nms\n\ndef nms(*args):\n    return help_me(*args)\n",
    ],
)
def test_borrowed(workbook, code):
    workbook.store("nms", code)
    verdict = check(workbook, "nms")
    assert verdict.state == "borrowed", str(verdict)
    assert "nms" in verdict.message


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("import coursekit.lessons.exercises.box_iou as course", "coursekit.lessons.exercises.box_iou"),
        ("from coursekit.lessons import exercises", "coursekit.lessons.exercises"),
        ("from coursekit.lessons.exercises import nms", "coursekit.lessons.exercises.nms"),
        ("from coursekit.lessons.exercises.nms import *", "coursekit.lessons.exercises.nms.*"),
        (
            "import coursekit\nanswer = coursekit.lessons.exercises.nms.right_in_two_lines",
            "coursekit.lessons.exercises.nms.right_in_two_lines",
        ),
        ("from coursekit.from_scratch.loader import box_iou", "coursekit.from_scratch.loader.box_iou"),
        ("from coursekit.from_scratch import loader\nanswer = loader.box_iou", "coursekit.from_scratch.loader.box_iou"),
        ("from coursekit.lessons.exercise import case\nfrom coursekit.data import load", None),
        ('"""The exercises are in coursekit.lessons.exercises, I know."""', None),
    ],
)
def test_what_ships_with_the_exercises_is_borrowed(code, source):
    assert borrowed_from(EXERCISES["box_iou"], f"{code}\n{IOU}") == source


def test_a_right_answer_that_is_compared_with_torchvisions_is_not_borrowed(workbook):
    code = answer("nms", "right_with_a_shrinking_list")
    compared = "\n\nimport torchvision\n\n\ndef test(*args):\n    return torchvision.ops.nms(*args)\n\n\nassert test\n"
    assert borrowed_from(EXERCISES["nms"], code + compared) is None


def test_correct_is_drawn_and_plain(workbook):
    workbook.store("box_iou", IOU)
    verdict = check(workbook, "box_iou")
    assert verdict.state == "correct"
    assert "box_iou is yours" in str(verdict)
    assert "✓" in verdict._repr_html_()


def test_html_shows_code_as_text(workbook):
    html = _verdict(workbook, "print('<script>alert(1)</script>'); return first")._repr_html_()
    assert "<script>" not in html


def test_a_strict_check_raises_unless_the_answer_is_correct(workbook):
    with pytest.raises(NotCorrectError, match="not started"):
        check(workbook, "xywh_to_xyxy", is_strict=True)
    workbook.store("nms", "from torchvision.ops import nms\n")
    with pytest.raises(NotCorrectError, match="borrowed"):
        check(workbook, "nms", is_strict=True)
    workbook.store("box_iou", IOU)
    assert check(workbook, "box_iou", is_strict=True).state == "correct"


def test_an_unknown_exercise_is_named(workbook):
    with pytest.raises(ConfigError, match="did you mean 'nms'"):
        check(workbook, "nsm")


def test_a_state_follows_the_code(workbook):
    workbook.store("box_iou", IOU)
    assert state_of(workbook, "box_iou") == "correct"
    (workbook.folder / "box_iou.py").write_text(IOU.replace(".clamp(min=0)", ""))  # in an editor
    assert state_of(workbook, "box_iou") == "not yet"


def test_the_cases_are_the_same_each_time():
    for exercise in EXERCISES.values():
        assert [case.words for case in exercise.all_cases()] == [case.words for case in exercise.all_cases()]


def test_an_end_before_the_last_case_is_no_answer():
    exercise = EXERCISES["box_iou"]
    some = list(outcomes(exercise, exercise.reference))[:2]
    assert first_problem(exercise, Trial(some, ended="well")) is not None


@pytest.mark.parametrize(
    ("name", "failing", "line"),
    [
        (
            "propose",
            (1, 2, 3, [4], (5, 6)),
            "logits, deltas, anchors, level_sizes, size = failing",
        ),  # the others: defaults
        ("rpn_losses", (1, 2, 3, [4], 8), "logits, deltas, anchors, boxes, batch_size_per_image = failing"),
        ("xywh_to_xyxy", (1,), "boxes, = failing"),
    ],
)
def test_the_line_to_try_a_failing_case_unpacks_the_arguments_that_there_are(name, failing, line):
    rows = dict(Verdict(name, "not yet", "", failing=failing).rows())
    assert rows["to try it"] == line
    names = {}
    exec(line, {"failing": failing}, names)
    assert tuple(names.values()) == failing
