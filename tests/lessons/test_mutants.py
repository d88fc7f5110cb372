"""Mutation testing of the references: the checks notice every mutant, except those listed here with a reason."""

import pytest

from coursekit.lessons.checking.compare import mismatch
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.mutants import mutants

SAME = "no difference: a box has four numbers, and a matrix two dimensions"
STRICT = "matters only if the numbers of parts differ"
CHUNKS = "how many boxes are compared at a time: tests/detector/test_anchors.py covers it"
SURVIVORS: dict[str, dict[str, str]] = {
    "xywh_to_xyxy": {},
    "clean_boxes": dict.fromkeys(("line 18: 1 → -1", "line 20: 1 → -1", "line 21: 1 → -1"), SAME),
    "read_image": {},
    "resize_with_boxes": {"line 15: 1 → -1": "no difference: a size has two numbers"},
    "flip_with_boxes": dict.fromkeys(("line 12: no sign", "line 12: 1 → -1"), SAME)
    | dict.fromkeys(("line 13: no sign", "line 13: 1 → -1"), "no difference: boxes have two dimensions"),
    "collate": dict.fromkeys(
        ("line 11: without strict=", "line 14: without strict=", "line 11: True → False", "line 14: True → False"),
        STRICT,
    ),
    "index_annotations": {},
    "CocoDataset": {"line 13: without encoding=": "matters only where the locale isn't UTF-8"},
    "receptive_field": {},
    "freeze_stages": {},
    "count_memory": dict.fromkeys(("line 24: without strict=", "line 24: True → False"), STRICT),
    "merge_top_down": dict.fromkeys(
        ("line 12: no sign", "line 12: 2 → -2"), "no difference: maps have four dimensions"
    ),
    "make_anchors": {"line 18: without indexing=": "torch's default, with a warning"}
    | {"line 19: 1 → -1": "no difference: a grid has two numbers, and a stride too"},
    "decode_boxes": dict.fromkeys(("line 17: 2 → -2", "line 18: 2 → -2"), SAME),
    "sample_balanced": {},
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


@pytest.mark.parametrize("name", SURVIVORS)
def test_the_cases_kill_every_mutant_that_matters(name):
    exercise = EXERCISES[name]
    expected = [attempt(exercise, exercise.reference, case) for case in exercise.all_cases()]
    survivors = [change for change, mutant in mutants(exercise.reference) if _survives(exercise, mutant, expected)]
    assert len(list(mutants(exercise.reference))) >= 3
    assert set(survivors) == set(SURVIVORS[name]), "\n".join(survivors)
