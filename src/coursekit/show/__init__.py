"""Pictures for lessons and reports."""

from coursekit.show.anchor_matches import anchor_picture, explore_anchors, overlap_by_size, positive_shares
from coursekit.show.anchor_orders_and_decoding import (
    awkward_cases,
    explore_decoding,
    explore_orders,
    guesses_and_matches,
)
from coursekit.show.average_precision import ap50_area, class_bars, curves_by_iou, filled_curve
from coursekit.show.boxes import draw_boxes
from coursekit.show.changes import changes, paired_changes
from coursekit.show.coco_records import annotation_counts, coco_images
from coursekit.show.course_map import course_map
from coursekit.show.error_pictures import confusions, error_costs, worst_images
from coursekit.show.explore import explore
from coursekit.show.feature_maps import cell_views, explore_channels, feature_maps
from coursekit.show.figures import figure, save
from coursekit.show.file_grid import file_grid
from coursekit.show.gallery import draw_ground_truth_and_predictions
from coursekit.show.image_row import before_after, image_row, rois
from coursekit.show.learning_rate_schedule import explore_schedule
from coursekit.show.loss_curves import LivePlot, loss_curves, loss_runs, run_losses
from coursekit.show.loss_shapes import loss_shapes, two_losses
from coursekit.show.matching_example import detections_and_objects
from coursekit.show.misplaced_boxes import misplaced_boxes
from coursekit.show.nms import explore_nms, nms_picture
from coursekit.show.one_stage import cells_to_objects, centerness_map, focal_shapes
from coursekit.show.precision_recall import curve_picture, explore_curve
from coursekit.show.proposals import anchors_to_objects, best_proposals, recall_curves
from coursekit.show.pyramid import (
    changed_cells,
    explore_levels,
    level_picture,
    level_shares,
    object_sizes,
    scores_by_size,
    smallest_object,
    smoothing,
)
from coursekit.show.roi_align import explore_axis_weights, patches, places_read, sliding_box
from coursekit.show.score_bars import score_bars
from coursekit.show.speed_ladder import ladder
from coursekit.show.step_memory import explore_memory, memory_by_side, memory_ladder
from coursekit.show.times_and_speeds import cost_bars, image_times, loading_rates, step_times, times
from coursekit.show.trained_classifiers import accuracies, heads

__all__ = [
    "LivePlot", "accuracies", "anchor_picture", "anchors_to_objects", "annotation_counts", "ap50_area",
    "awkward_cases", "before_after", "best_proposals", "cell_views", "cells_to_objects", "centerness_map",
    "changed_cells", "changes", "class_bars", "coco_images", "confusions", "cost_bars", "course_map",
    "curve_picture", "curves_by_iou", "detections_and_objects", "draw_boxes", "draw_ground_truth_and_predictions",
    "error_costs", "explore", "explore_anchors", "explore_axis_weights", "explore_channels", "explore_curve",
    "explore_decoding", "explore_levels", "explore_memory", "explore_nms", "explore_orders", "explore_schedule",
    "feature_maps", "figure", "file_grid", "filled_curve", "focal_shapes", "guesses_and_matches", "heads",
    "image_row", "image_times", "ladder", "level_picture", "level_shares", "loading_rates", "loss_curves",
    "loss_runs", "loss_shapes", "memory_by_side", "memory_ladder", "misplaced_boxes", "nms_picture", "object_sizes",
    "overlap_by_size", "paired_changes", "patches", "places_read", "positive_shares", "recall_curves", "rois",
    "run_losses", "save", "score_bars", "scores_by_size", "sliding_box", "smallest_object", "smoothing",
    "step_times", "times", "two_losses", "worst_images",
]  # fmt: skip
