"""Mutation testing of six references: the checks notice every mutant, except those listed here with a reason."""

import pytest

from coursekit.lessons.checking.compare import mismatch
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.mutants import mutants

NAMES = ("box_iou", "nms", "encode_boxes", "match_anchors", "average_precision", "FPN")
SAME = "no difference: a box has four numbers, and a matrix two dimensions"
CHUNKS = "how many boxes are compared at a time: tests/detector/test_anchors.py covers it"
SURVIVORS: dict[str, dict[str, str]] = {
    "box_iou": dict.fromkeys(("line 16: 2 → -2", "line 17: 2 → -2", "line 19: 2 → -2", "line 19: 1 → -1"), SAME)
    | {"line 20: 1 → -1": SAME},
    "nms": {},
    "encode_boxes": {"line 17: 2 → -2": SAME},
    "match_anchors": dict.fromkeys(
        ("line 29: 1 → 2", "line 29: 1 → -1", "line 33: Gt → GtE", "line 33: Add → Sub"), CHUNKS
    )
    | dict.fromkeys(
        ("line 25: 0 → 1", "line 25: without dtype="), "no anchors: tests/detector/test_anchors.py covers it"
    )
    | {
        "line 26: without dtype=": "matters in half precision only, which the exercise leaves out",
        "line 27: zeros_like → ones_like": "an anchor without overlap is background, whatever its match",
        "line 35: 1 → -1": SAME,
    },
    "average_precision": {},
    "FPN": dict.fromkeys(("line 13: 96 → -96", "line 13: 96 → 97"), "a default: the cases always pass channels")
    | dict.fromkeys(
        ("line 25: without strict=", "line 28: without strict=", "line 25: True → False", "line 28: True → False"),
        "matters only if the numbers of maps and layers differ",
    )
    | dict.fromkeys(
        (
            "line 30: without stride=",
            "line 30: 1 → 2",
            "line 30: 1 → -1",
            "line 30: no sign",
            "line 30: 2 → 3",
            "line 30: 2 → -2",
        ),
        "extra levels, which the exercise leaves out",
    ),
}


def _survives(exercise, mutant, expected_outcomes):
    for case, expected in zip(exercise.all_cases(), expected_outcomes, strict=True):
        try:
            outcome = attempt(exercise, mutant, case)
        except NotImplementedError:
            return False
        if mismatch(outcome, expected, exercise.tolerance):
            return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_the_cases_kill_every_mutant_that_matters(name):
    exercise = EXERCISES[name]
    expected = [attempt(exercise, exercise.reference, case) for case in exercise.all_cases()]
    survivors = [change for change, mutant in mutants(exercise.reference) if _survives(exercise, mutant, expected)]
    assert len(list(mutants(exercise.reference))) >= 8
    assert set(survivors) == set(SURVIVORS[name]), "\n".join(survivors)
