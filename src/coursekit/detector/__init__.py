"""A Faster R-CNN, from the backbone to the boxes."""

from coursekit.detector.backbone import Backbone
from coursekit.detector.boxes import xywh_to_xyxy, xyxy_to_xywh
from coursekit.detector.fpn import FPN, merge_top_down
from coursekit.detector.model import build_detector

__all__ = ["FPN", "Backbone", "build_detector", "merge_top_down", "xywh_to_xyxy", "xyxy_to_xywh"]
