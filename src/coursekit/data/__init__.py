"""From COCO's annotations to batches of images and boxes."""

from coursekit.data.boxes import flip_with_boxes, xywh_to_xyxy, xyxy_to_xywh
from coursekit.data.dataset import CocoDataset, Target, collate, load, read_image
from coursekit.data.drawing import Scene, scene

__all__ = [
    "CocoDataset",
    "Scene",
    "Target",
    "collate",
    "flip_with_boxes",
    "load",
    "read_image",
    "scene",
    "xywh_to_xyxy",
    "xyxy_to_xywh",
]
