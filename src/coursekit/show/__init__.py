"""Pictures for lessons and reports."""

from coursekit.show.course_map import course_map
from coursekit.show.live import LivePlot
from coursekit.show.pictures import draw_boxes, figure, loss_curves, save, truth_beside_prediction

__all__ = ["LivePlot", "course_map", "draw_boxes", "figure", "loss_curves", "save", "truth_beside_prediction"]
