"""The lessons in order: title, minutes (reading included), and their exercises.

What the exercises' own files say, too, is here for those who can't wait for torch, which these files import.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course.

    Attributes:
        title: without its number.
        minutes: how long it takes, reading included.
        exercises: the names of its exercises, in order, each with its minutes.
        optional: the course is complete without it.
    """

    title: str
    minutes: int
    exercises: dict[str, int]
    optional: bool = False


LESSONS = {
    0: Lesson("Start here", 80, {"xywh_to_xyxy": 8, "box_iou": 20}),
    1: Lesson(
        "The data loader", 150,
        {
            "index_annotations": 18, "read_image": 15, "clean_boxes": 12, "resize_with_boxes": 10,
            "flip_with_boxes": 8, "CocoDataset": 25, "collate": 12,
        },
    ),
    2: Lesson("The backbone", 115, {"receptive_field": 22, "freeze_stages": 23, "count_memory": 25}),
    3: Lesson("The FPN", 100, {"merge_top_down": 15, "FPN": 30, "level_for_box": 15}),
    4: Lesson(
        "Anchors", 150,
        {
            "make_anchors": 25, "match_anchors": 35, "encode_boxes": 12, "decode_boxes": 15, "sample_balanced": 10,
        },
    ),
    5: Lesson("The RPN", 155, {"RPNHead": 20, "rpn_losses": 25, "nms": 20, "propose": 25, "recall_at": 10}),
    6: Lesson("RoI features", 105, {"axis_weights": 20, "roi_align": 15, "pool_levels": 20, "BoxHead": 10}),
    7: Lesson("The detector", 150, {"sample_rois": 15, "detection_losses": 25, "postprocess": 30, "FasterRCNN": 40}),
    8: Lesson(
        "Training", 180,
        {
            "warmup_cosine": 10, "train_step": 18, "time_step": 12, "forward_backward": 18, "accumulate": 15,
            "halve_on_oom": 18, "real_step": 20,
        },
    ),
    9: Lesson(
        "Evaluation", 175,
        {
            "to_coco_results": 15, "match_detections": 30, "precision_recall": 10, "average_precision": 20,
            "coco_map": 25, "fix_results": 10,
        },
    ),
    10: Lesson("Your detector", 270, {"save_and_resume": 20, "verdict": 10}),
    11: Lesson(
        "One stage", 130,
        {
            "assign_cells": 25, "encode_distances": 4, "decode_distances": 4, "centerness": 8, "focal_loss": 12,
            "OneStage": 25,
        },
        optional=True,
    ),
    12: Lesson("Ship it", 90, {"prepare_image": 30, "restore_boxes": 10, "nms_padded": 25}, optional=True),
}  # fmt: skip
REGIONS = {  # places to fill in; others have 1
    "CocoDataset": 4, "FPN": 2, "RPNHead": 2, "BoxHead": 2, "FasterRCNN": 3, "OneStage": 3,
}  # fmt: skip
Badge = Literal["by hand", "explain only", "delegate"]
BADGE_MEANS: dict[Badge, str] = {  # as an assistant is told
    "by hand": "I write this without you: it is the idea of the lesson. If I ask, write no code. Ask me one question.",
    "explain only": "Explain what is going on. Don't write code for it: I write it.",
    "delegate": "You may write it. I write the inputs that it is tested with.",
}
BADGES: dict[str, Badge] = {  # what an AI assistant may do in an exercise; those not named here: "explain only"
    **dict.fromkeys(
        (
            "box_iou", "receptive_field", "merge_top_down", "make_anchors", "match_anchors", "encode_boxes",
            "decode_boxes", "nms", "recall_at", "axis_weights", "roi_align", "sample_rois", "accumulate", "real_step",
            "match_detections", "precision_recall", "average_precision", "assign_cells", "encode_distances",
            "decode_distances", "centerness", "focal_loss", "nms_padded",
        ),
        "by hand",
    ),
    **dict.fromkeys(
        (
            "read_image", "collate", "time_step", "to_coco_results", "coco_map", "save_and_resume", "prepare_image",
        ),
        "delegate",
    ),
}  # fmt: skip


def exercises_of(lessons: Collection[int] = ()) -> list[str]:
    """Return the names of the exercises of these lessons, in order; by default, of all that are not optional."""
    chosen = [lesson for number, lesson in LESSONS.items() if (number in lessons if lessons else not lesson.optional)]
    return [name for lesson in chosen for name in lesson.exercises]


def badge_of(name: str) -> Badge:
    """Return an exercise's badge: what an AI assistant may do in it."""
    return BADGES.get(name, "explain only")
