"""The eleven lessons in order: title, minutes (reading included), and their exercises."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course; `exercises` are the names of its exercises, in order."""

    title: str
    minutes: int
    exercises: tuple[str, ...]


LESSONS = {
    0: Lesson("Start here", 80, ("xywh_to_xyxy", "box_iou")),
    1: Lesson(
        "The data loader", 150,
        (
            "index_annotations", "read_image", "clean_boxes", "resize_with_boxes", "flip_with_boxes", "CocoDataset",
            "collate",
        ),
    ),
    2: Lesson("The backbone", 115, ("receptive_field", "freeze_stages", "count_memory")),
    3: Lesson("The FPN", 100, ("merge_top_down", "FPN", "level_for_box")),
    4: Lesson("Anchors", 150, ("make_anchors", "match_anchors", "encode_boxes", "decode_boxes", "sample_balanced")),
    5: Lesson("The RPN", 155, ("RPNHead", "rpn_losses", "nms", "propose", "recall_at")),
    6: Lesson("RoI features", 105, ("axis_weights", "roi_align", "pool_levels", "BoxHead")),
    7: Lesson("The detector", 150, ("sample_rois", "detection_losses", "postprocess", "FasterRCNN")),
    8: Lesson(
        "Training", 180,
        (
            "warmup_cosine", "train_step", "time_step", "forward_backward", "accumulate", "halve_on_oom", "real_step",
        ),
    ),
    9: Lesson(
        "Evaluation", 175,
        (
            "to_coco_results", "match_detections", "precision_recall", "average_precision", "coco_map", "fix_results",
        ),
    ),
    10: Lesson("Your detector", 270, ("save_and_resume", "verdict")),
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
            "match_detections", "precision_recall", "average_precision",
        ),
        "by hand",
    ),
    **dict.fromkeys(
        ("read_image", "collate", "time_step", "to_coco_results", "coco_map", "save_and_resume"), "delegate"
    ),
}  # fmt: skip


def badge_of(name: str) -> Badge:
    """Return an exercise's badge: what an AI assistant may do in it."""
    return BADGES.get(name, "explain only")
