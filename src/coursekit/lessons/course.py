"""The eleven lessons in order: title, minutes (reading included), and their exercises."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course; `exercises` are the names of its exercises, in order."""

    title: str
    minutes: int
    exercises: tuple[str, ...]


LESSONS = {
    0: Lesson("Start here", 60, ("xywh_to_xyxy", "box_iou")),
    1: Lesson(
        "The data loader", 120,
        (
            "index_annotations", "read_image", "clean_boxes", "resize_with_boxes", "flip_with_boxes", "CocoDataset",
            "collate",
        ),
    ),
    2: Lesson("The backbone", 80, ("receptive_field", "freeze_stages", "count_memory")),
    3: Lesson("The FPN", 80, ("merge_top_down", "FPN", "level_for_box")),
    4: Lesson("Anchors", 115, ("make_anchors", "match_anchors", "encode_boxes", "decode_boxes", "sample_balanced")),
    5: Lesson("The RPN", 110, ("RPNHead", "rpn_losses", "nms", "propose")),
    6: Lesson("RoI features", 85, ("axis_weights", "roi_align", "pool_levels", "BoxHead")),
    7: Lesson("The detector", 130, ("sample_rois", "detection_losses", "postprocess", "FasterRCNN")),
    8: Lesson(
        "Training", 135,
        (
            "warmup_cosine", "train_one_epoch", "time_step", "autocast_step", "accumulate", "halve_on_oom",
            "save_and_resume",
        ),
    ),
    9: Lesson(
        "Evaluation", 130,
        ("to_coco_results", "match_detections", "precision_recall", "average_precision", "coco_map"),
    ),
    10: Lesson("Your detector", 240, ()),
}  # fmt: skip
AI_LADDER = {  # what an assistant may do in a lesson
    **dict.fromkeys((0, 1), "by hand, without an assistant"),
    **dict.fromkeys(range(2, 6), "an assistant may explain; you write"),
    **dict.fromkeys(range(6, 9), "an assistant may write; you write the test"),
    **dict.fromkeys((9, 10), "as you like, with the journal kept"),
}
