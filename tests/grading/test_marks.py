import pytest
import torch

from coursekit.grading.marks import marked
from coursekit.grading.sandbox import Tried
from coursekit.lessons.checking.inside_process import Trial
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes
from coursekit.lessons.exercises import EXERCISES

CODE = "def box_iou(first, second):\n    return 1\n"


def _marked(value=None, raised=None):
    outcome = Outcome(value, None, raised)
    return marked("box_iou", CODE, Tried(Trial([outcome] * len(EXERCISES["box_iou"].all_cases()), ended="well")))


def test_right_outcomes_are_right():
    tried = Tried(Trial(list(expected_outcomes(EXERCISES["box_iou"])), ended="well"))
    assert marked("box_iou", CODE, tried).state == "correct"


@pytest.mark.parametrize(
    "value",
    [
        ("tensor", torch.zeros([1] * 16)), ("tensor", torch.zeros(4096, 0)),
        ("tensor", torch.zeros(3, dtype=torch.complex64)),
        ("list", [("tensor", torch.zeros(4096, 0))] * 4), ("str", "x" * 250_000), ("other", "\u202e" * 1000),
        ("dict", {"\x1b[2J" + str(number): ("NoneType", None) for number in range(10_000)}), ("number", -(2**63)),
        ("list", [("list", [])] * 50_000),
    ],
)  # fmt: skip
def test_an_odd_value_is_wrong_and_described_briefly(value):
    mark = _marked(value)
    assert (mark.state, mark.passed) == ("not yet", 0)
    for words in (mark.tried, mark.got, mark.expected, mark.likely):
        assert len(words) <= 2000
        assert words.replace("\n", "").isprintable()


def test_an_error_message_moves_no_cursor():
    assert _marked(raised="ValueError: \x1b[2J\u202ea\n    line 1").got == "ValueError: �[2J�a\n    line 1"
