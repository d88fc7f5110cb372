"""What `coursekit.data` exports."""

from coursekit.data.boxes import Target, flip_with_boxes, xywh_to_xyxy, xyxy_to_xywh
from coursekit.data.dataset import CocoDataset, collate
from coursekit.data.index import CocoIndex
from coursekit.data.load_by_name import load
from coursekit.data.read_images import read_image
from coursekit.data.synthetic.scene import Scene, scene

__all__ = [
    "CocoDataset", "CocoIndex", "Scene", "Target", "collate", "flip_with_boxes", "load", "read_image", "scene",
    "xywh_to_xyxy", "xyxy_to_xywh",
]  # fmt: skip
