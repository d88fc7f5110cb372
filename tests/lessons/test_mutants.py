"""A mutation run over six references: the checks' cases kill every mutant but those listed here, with the reason."""

import pytest

from coursekit.lessons.checking.compare import problem
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.mutants import mutants

NAMES = ("box_iou", "nms", "encode_boxes", "match_anchors", "average_precision", "FPN")
SAME = "the same for boxes, which have four numbers and two dimensions"
CHUNKS = "how many boxes are compared at a time: tests/detector/test_anchors.py has crowds of them"
SURVIVORS: dict[str, dict[str, str]] = {
    "box_iou": dict.fromkeys(("line 10: 2 → -2", "line 11: 2 → -2", "line 13: 2 → -2", "line 13: 1 → -1"), SAME)
    | {"line 14: 1 → -1": SAME},
    "nms": {},
    "encode_boxes": {},
    "match_anchors": dict.fromkeys(
        ("line 26: 1 → 2", "line 26: 1 → -1", "line 30: Gt → GtE", "line 30: Add → Sub"), CHUNKS
    )
    | {
        "line 23: without dtype=": "only for half precision, which exercises leave out",
        "line 24: zeros_like → ones_like": "an anchor without overlap is background, whatever its match was",
        "line 32: 1 → -1": SAME,
    },
    "average_precision": {},
    "FPN": dict.fromkeys(("line 13: 96 → -96", "line 13: 96 → 97"), "a default, which the cases always give")
    | dict.fromkeys(
        ("line 25: without strict=", "line 28: without strict=", "line 25: True → False", "line 28: True → False"),
        "only where maps and layers differ in number",
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


def _survives(exercise, mutant, meant):
    for case, expected in zip(exercise.all_cases(), meant, strict=True):
        try:
            outcome = attempt(exercise, mutant, case)
        except NotImplementedError:
            return False
        if problem(outcome, expected.came, expected.given, exercise.tolerance):
            return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_the_cases_kill_every_mutant_that_matters(name):
    exercise = EXERCISES[name]
    meant = [attempt(exercise, exercise.reference, case) for case in exercise.all_cases()]
    found = [words for words, mutant in mutants(exercise.reference) if _survives(exercise, mutant, meant)]
    assert len(list(mutants(exercise.reference))) >= 8
    assert set(found) == set(SURVIVORS[name]), "\n".join(found)
