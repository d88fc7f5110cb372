"""From detections to a score."""

from coursekit.evaluation.average_precision import average_precision, coco_map, match_detections, precision_recall
from coursekit.evaluation.coco import METRICS, Detection, detect, precision_curve, run, score, to_coco_results
from coursekit.evaluation.compare import Comparison, compare
from coursekit.evaluation.diagnose import Finding, diagnose
from coursekit.evaluation.errors import best_thresholds, confusion_matrix, split_errors, worst_images
from coursekit.evaluation.results import Result, check_results, read_results
from coursekit.evaluation.scores import ClassScore, Scores, evaluate

__all__ = [
    "METRICS", "ClassScore", "Comparison", "Detection", "Finding", "Result", "Scores", "average_precision",
    "best_thresholds", "check_results", "coco_map", "compare", "confusion_matrix", "detect", "diagnose", "evaluate",
    "match_detections", "precision_curve", "precision_recall", "read_results", "run", "score", "split_errors",
    "to_coco_results", "worst_images",
]  # fmt: skip
