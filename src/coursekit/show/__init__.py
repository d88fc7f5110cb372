"""Pictures for lessons and reports."""

from coursekit.show.course_map import course_map
from coursekit.show.explore import (
    anchor_picture,
    curve_picture,
    explore,
    explore_anchors,
    explore_curve,
    explore_nms,
    nms_picture,
)
from coursekit.show.live import LivePlot
from coursekit.show.pictures import draw_boxes, figure, loss_curves, save, truth_beside_prediction

__all__ = [
    "LivePlot", "anchor_picture", "course_map", "curve_picture", "draw_boxes", "explore", "explore_anchors",
    "explore_curve", "explore_nms", "figure", "loss_curves", "nms_picture", "save", "truth_beside_prediction",
]  # fmt: skip
