"""Pictures for lessons and reports."""

from coursekit.show.anchors import anchor_picture, explore_anchors
from coursekit.show.boxes import draw_boxes
from coursekit.show.course_map import course_map
from coursekit.show.explore import explore
from coursekit.show.figures import figure, save
from coursekit.show.gallery import draw_ground_truth_and_predictions
from coursekit.show.losses import LivePlot, loss_curves
from coursekit.show.nms import explore_nms, nms_picture
from coursekit.show.precision_recall import curve_picture, explore_curve

__all__ = [
    "LivePlot", "anchor_picture", "course_map", "curve_picture", "draw_boxes", "draw_ground_truth_and_predictions",
    "explore", "explore_anchors", "explore_curve", "explore_nms", "figure", "loss_curves", "nms_picture", "save",
]  # fmt: skip
