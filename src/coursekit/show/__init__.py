"""Pictures for lessons and reports."""

from coursekit.show.pictures import draw_boxes, figure, loss_curves, save, truth_beside_prediction

__all__ = ["draw_boxes", "figure", "loss_curves", "save", "truth_beside_prediction"]
