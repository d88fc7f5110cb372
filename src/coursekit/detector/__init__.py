"""A Faster R-CNN, from the backbone to the boxes.

To read it in one sitting: boxes, anchors, fpn, rpn, roi, model; then norm, backbone, resize and parts.
"""

from coursekit.detector.anchors import make_anchors, match_anchors, sample_balanced
from coursekit.detector.backbone import Backbone, freeze_stages, load_backbone
from coursekit.detector.boxes import box_iou, decode_boxes, encode_boxes, nms, xywh_to_xyxy, xyxy_to_xywh
from coursekit.detector.fpn import FPN, merge_top_down
from coursekit.detector.from_torchvision import from_torchvision
from coursekit.detector.model import Detector, FasterRCNN, Options, build_detector
from coursekit.detector.roi import (
    BoxHead,
    axis_weights,
    detection_losses,
    level_for_box,
    pool_levels,
    postprocess,
    roi_align,
    sample_rois,
)
from coursekit.detector.rpn import RPNHead, propose, rpn_losses

__all__ = [
    "FPN", "Backbone", "BoxHead", "Detector", "FasterRCNN", "Options", "RPNHead", "axis_weights", "box_iou",
    "build_detector", "decode_boxes", "detection_losses", "encode_boxes", "freeze_stages", "from_torchvision",
    "level_for_box", "load_backbone", "make_anchors", "match_anchors", "merge_top_down", "nms", "pool_levels",
    "postprocess", "propose", "roi_align", "rpn_losses", "sample_balanced", "sample_rois", "xywh_to_xyxy",
    "xyxy_to_xywh",
]  # fmt: skip
