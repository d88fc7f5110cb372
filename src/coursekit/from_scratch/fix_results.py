"""Undo faults in detections that were written wrongly: the reference of an exercise of lesson 09."""

from collections.abc import Mapping, Sequence
from typing import Any

RESIZED_TO = 512  # pixels: the long side of the resized images, of the fault "resized"
Record = dict[str, Any]


def fix_results(
    results: Sequence[Record], fault: str, sizes: Mapping[int, tuple[int, int]], category_ids: Sequence[int]
) -> list[Record]:
    """Undo a fault that all of these detections have.

    Args:
        results: detections in COCO's format but for the fault. They stay as they are.
        fault: what is wrong with each record. "labels": its category_id is the label, counted from 1. "corners": its
            bbox is x1, y1, x2, y2. "shares": its bbox is xywh in shares of the image's width and height, from 0 to 1.
            "resized": its bbox is xywh in pixels of an image that was resized to a long side of 512.
        sizes: image id → (height, width) in pixels of the original image.
        category_ids: COCO's id of label 1, of label 2, and so on.

    Returns:
        Records as COCO wants them, in the order given: bbox is xywh in pixels of the original image, not rounded.
    """
    fixed = []
    for record in results:
        height, width = sizes[record["image_id"]]
        category_id, (x, y, w, h) = record["category_id"], record["bbox"]
        if fault == "labels":
            category_id = category_ids[category_id - 1]
        elif fault == "corners":
            w, h = w - x, h - y
        elif fault == "shares":
            x, y, w, h = x * width, y * height, w * width, h * height
        elif fault == "resized":
            scale = max(height, width) / RESIZED_TO
            x, y, w, h = x * scale, y * scale, w * scale, h * scale
        fixed.append(record | {"category_id": category_id, "bbox": [x, y, w, h]})
    return fixed
