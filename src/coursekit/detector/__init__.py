"""A Faster R-CNN, from the backbone to the detections, and an FCOS made of the same parts.

Read `model` first: it shows the whole path. Then, in the order of the data: backbone, fpn, anchors, rpn, roi; beside
them boxes, resize, targets and parts. The detector with one stage is `fcos`, with cells and one_stage.

Shapes, in all of these modules:

    B     images in a batch
    H, W  height and width: pixels of an image, or cells of a feature map
    C     channels of a feature map
    A     anchors in each cell of a level
    N     anchors of all levels together, the sum of H * W * A over the levels; in an FCOS cells, the sum of H * W
    G     ground-truth boxes in one image
    P     proposals in one image
    R     RoIs (regions of interest), of all images together
    K     classes, without the background: labels are 1 … K, and 0 is the background
    D     detections in one image

Boxes are xyxy: (x1, y1, x2, y2) in pixels, float. A size is (height, width) in pixels.

Names:

    gt_…            ground truth: the boxes and labels of the data set
    pred_…          what the network predicts
    target_…        what it should have predicted, computed from the ground truth
    logits, deltas  (B, N) and (B, N, 4): what the RPN predicts for each anchor
    class_logits    (R, K + 1): what the box head predicts for each RoI, …
    box_deltas      (R, K + 1, 4): … and a box for each class

Section and equation numbers of Ren et al., *Faster R-CNN*, 2015, are those of arXiv:1506.01497v3.
"""

from coursekit.detector.anchors import make_anchors, match_anchors, sample_balanced
from coursekit.detector.backbone import Backbone, freeze_stages, load_backbone
from coursekit.detector.boxes import box_iou, decode_boxes, encode_boxes, nms, xywh_to_xyxy, xyxy_to_xywh
from coursekit.detector.build import build_detector
from coursekit.detector.cells import assign_cells, cell_points, centerness, decode_distances, encode_distances
from coursekit.detector.fcos import FCOS, FCOSOptions
from coursekit.detector.fpn import FPN, merge_top_down
from coursekit.detector.from_torchvision import from_torchvision
from coursekit.detector.model import FasterRCNN, Options
from coursekit.detector.one_stage import OneStage, focal_loss, giou_loss, postprocess_one_stage
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
    "FCOS", "FPN", "Backbone", "BoxHead", "FCOSOptions", "FasterRCNN", "OneStage", "Options", "RPNHead",
    "assign_cells", "axis_weights", "box_iou", "build_detector", "cell_points", "centerness", "decode_boxes",
    "decode_distances", "detection_losses", "encode_boxes", "encode_distances", "focal_loss", "freeze_stages",
    "from_torchvision", "giou_loss", "level_for_box", "load_backbone", "make_anchors", "match_anchors",
    "merge_top_down", "nms", "pool_levels", "postprocess", "postprocess_one_stage", "propose", "roi_align",
    "rpn_losses", "sample_balanced", "sample_rois", "xywh_to_xyxy", "xyxy_to_xywh",
]  # fmt: skip
