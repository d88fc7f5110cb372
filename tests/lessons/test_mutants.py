"""Mutation testing of the references: the checks notice every mutant, except those listed here with a reason."""

import pytest

from coursekit.lessons.checking.compare_outcomes import mismatch
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.mutants import mutants

SAME = "no difference: a box has four numbers, and a matrix two dimensions"
STRICT = "matters only if the numbers of parts differ"
CHUNKS = "how many boxes are compared at a time: tests/detector/test_anchors.py covers it"
DEFAULT = "a default, which the cell gives"
GENERATOR = "the exercise has no generators"
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
    "CocoDataset": {"__init__, line 2: without encoding=": "matters only where the locale isn't UTF-8"},
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
    "level_for_box": dict.fromkeys(("line 17: 1 → -1", "line 17: 2 → -2"), SAME),
    "RPNHead": dict.fromkeys(
        ("forward, line 4: 2 → -2", "forward, line 5: 2 → -2"), "no difference: maps have four dimensions"
    )
    | {"forward, line 6: 1 → -1": "no difference: logits have two dimensions"},
    "rpn_losses": {"line 36: without generator=": GENERATOR},
    "propose": dict.fromkeys(("line 37: 1 → -1", "line 37: 2 → -2"), SAME)
    | dict.fromkeys(("line 7: 500 → 501", "line 8: 300 → 301"), DEFAULT),
    "recall_at": dict.fromkeys(("line 14: without strict=", "line 14: True → False"), STRICT)
    | {"line 15: 1 → -1": SAME},
    "axis_weights": {"line 25: 2 → -2": "no difference: the tents have four dimensions"},
    "roi_align": dict.fromkeys(("line 27: no sign", "line 27: 1 → -1"), SAME)
    | {
        "line 31: 0 → 1": "no difference: torch multiplies a batch of matrices as it does their rows",
        "line 33: 2 → -2": "no difference: patches have four dimensions",
    },
    "pool_levels": dict.fromkeys(("line 26: without strict=", "line 26: True → False"), STRICT)
    | {"line 23: 0 → 1": "no difference: only the order of the positions matters"},
    "BoxHead": {"__init__, line 1: 7 → -7": "no difference: only its square is used"},
    "sample_rois": dict.fromkeys(
        ("line 5: 64 → 65", "line 5: 64 → -64", "line 6: 0.25 → 1.25", "line 6: 0.25 → -0.25"), DEFAULT
    )
    | dict.fromkeys(
        ("line 31: without allow_low_quality_matches=", "line 31: False → True"),
        "no difference: each object's own box is an RoI, and overlaps it most",
    )
    | {"line 32: without generator=": GENERATOR},
    "detection_losses": {},
    "postprocess": dict.fromkeys(("line 31: 1 → -1", "line 31: 2 → -2"), SAME)
    | dict.fromkeys(
        ("line 28: no sign", "line 28: 1 → -1", "line 30: 1 → -1"), "no difference: logits have two dimensions"
    )
    | {"line 8: 100 → 101": DEFAULT},
    "FasterRCNN": dict.fromkeys(
        ("losses, line 18: 2 → 3", "losses, line 18: 2 → -2", "losses, line 18: 32 → 33"),
        "any random numbers are good enough as seeds",
    )
    | dict.fromkeys(
        ("losses, line 19: without dtype=", "predict, line 3: without dtype="), "no difference: sizes are whole numbers"
    )
    | {"first_stage, line 12: 1 → -1": "no difference: each limit has two numbers, for training and for inference"}
    | dict.fromkeys(
        ("anchors, line 4: 2 → 3", "anchors, line 4: 2 → -2", "anchors, line 6: GtE → Gt"),
        "the cache of anchors, which the exercise leaves out",
    )
    | dict.fromkeys(
        ("anchors, line 3: 2 → -2", "_make_anchors, line 4: 1 → -1", "_make_anchors, line 4: 2 → -2"),
        "no difference: maps have four dimensions, and a grid two numbers",
    )
    | dict.fromkeys(("_make_anchors, line 3: without strict=", "_make_anchors, line 3: True → False"), STRICT),
    "to_coco_results": dict.fromkeys(
        (
            "line 13: without strict=",
            "line 13: True → False",
            "line 14: without strict=",
            "line 18: True → False",
        ),
        STRICT,
    ),
    "match_detections": {"line 31: 1 → 2": "no difference: an IoU is at least 0"},
    "precision_recall": {},
    "coco_map": dict.fromkeys(("line 10: without strict=", "line 10: True → False"), STRICT)
    | dict.fromkeys(
        ("line 7: 5 → -5", "line 7: 2 → -2", "line 8: 2 → -2"), "no difference: there are ten thresholds and four sizes"
    ),
    "fix_results": {},
    "warmup_cosine": {"line 10: Lt → LtE": "no difference: at the last step of the warm-up, both factors are 1"},
    "train_step": {},
    "time_step": {},
    "forward_backward": {
        "line 21: without enabled=": "no difference on a CPU, where torch refuses float32 with a warning",
        "line 21: 0 → 1": "no difference: all images are on one device",
    },
    "accumulate": {},
    "halve_on_oom": {},
    "real_step": {},
    "save_and_resume": {"line 18: without map_location=": "matters only for a checkpoint that a GPU wrote"},
    "verdict": {"line 18: 1 → 2": "matters only for one pair more than the table of t has"},
    "prepare_image": dict.fromkeys(
        ("line 21: 1 → -1", "line 24: 1 → -1", "line 25: 1 → -1"), "no difference: a size has two numbers"
    ),
    "restore_boxes": {},
    "nms_padded": {},
    "assign_cells": dict.fromkeys(
        (
            "line 23: 2 → -2",
            "line 25: 2 → -2",
            "line 28: 1 → -1",
            "line 29: 1 → -1",
            "line 29: 2 → -2",
            "line 30: 1 → -1",
        ),
        SAME,
    ),
    "encode_distances": {"line 12: 2 → -2": SAME},
    "decode_distances": {"line 13: 2 → -2": SAME},
    "centerness": {},
    "focal_loss": {},
    "OneStage": {},
    "FPN": dict.fromkeys(
        ("__init__, line 4: 96 → -96", "__init__, line 4: 96 → 97"), "a default: the cases always pass channels"
    )
    | dict.fromkeys(
        (
            "forward, line 3: without strict=",
            "forward, line 6: without strict=",
            "forward, line 3: True → False",
            "forward, line 6: True → False",
        ),
        "matters only if the numbers of maps and layers differ",
    )
    | dict.fromkeys(
        (
            "forward, line 8: without stride=",
            "forward, line 8: 1 → 2",
            "forward, line 8: 1 → -1",
            "forward, line 8: no sign",
            "forward, line 8: 2 → 3",
            "forward, line 8: 2 → -2",
        ),
        "extra levels, which the exercise leaves out",
    ),
}


LEFT_OUT = {"FasterRCNN": "forward, "}  # methods of a reference that its exercise doesn't have


def _mutants(exercise):
    left_out = LEFT_OUT.get(exercise.name)
    return [pair for pair in mutants(exercise.reference) if left_out is None or not pair[0].startswith(left_out)]


def _survives(exercise, mutant, expected_outcomes):
    for case, expected in zip(exercise.all_cases(), expected_outcomes, strict=True):
        try:
            outcome = attempt(exercise, mutant, case)
        except NotImplementedError:
            return False
        if mismatch(outcome, expected, exercise.tolerance):
            return False
    return True


def test_each_exercise_is_listed():
    assert set(SURVIVORS) == set(EXERCISES)


@pytest.mark.parametrize("name", SURVIVORS)
def test_the_cases_kill_every_mutant_that_matters(name):
    exercise = EXERCISES[name]
    expected = [attempt(exercise, exercise.reference, case) for case in exercise.all_cases()]
    changed = _mutants(exercise)
    survivors = [change for change, mutant in changed if _survives(exercise, mutant, expected)]
    assert changed
    assert set(survivors) == set(SURVIVORS[name]), "\n".join(survivors)
