"""From detections to a score."""

from coursekit.evaluation.coco import METRICS, precision_curve, score
from coursekit.evaluation.columns import Columns
from coursekit.evaluation.compare import Comparison, compare
from coursekit.evaluation.diagnose import diagnose
from coursekit.evaluation.error_analysis import best_thresholds, confusion_matrix, split_errors, worst_images
from coursekit.evaluation.inference import Detection, predict, predict_dataset, to_coco_results
from coursekit.evaluation.results import Result, check_results, read_results
from coursekit.evaluation.scores import ClassScore, Scores, evaluate
from coursekit.evaluation.try_repair import Finding

__all__ = [
    "METRICS",
    "ClassScore",
    "Columns",
    "Comparison",
    "Detection",
    "Finding",
    "Result",
    "Scores",
    "best_thresholds",
    "check_results",
    "compare",
    "confusion_matrix",
    "diagnose",
    "evaluate",
    "precision_curve",
    "predict",
    "predict_dataset",
    "read_results",
    "score",
    "split_errors",
    "to_coco_results",
    "worst_images",
]  # fmt: skip
