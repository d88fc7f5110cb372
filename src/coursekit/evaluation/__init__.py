"""From detections to a score."""

from coursekit.evaluation.average_precision import average_precision, coco_map, match_detections, precision_recall
from coursekit.evaluation.coco import METRICS, Detection, detect, precision_curve, run, score, to_coco_results
from coursekit.evaluation.results import Result, check_results, read_results
from coursekit.evaluation.scores import ClassScore, Scores, evaluate

__all__ = [
    "METRICS",
    "ClassScore",
    "Detection",
    "Result",
    "Scores",
    "average_precision",
    "check_results",
    "coco_map",
    "detect",
    "evaluate",
    "match_detections",
    "precision_curve",
    "precision_recall",
    "read_results",
    "run",
    "score",
    "to_coco_results",
]
