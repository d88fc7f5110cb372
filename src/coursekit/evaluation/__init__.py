"""From detections to a score."""

from coursekit.evaluation.coco import METRICS, detect, evaluate, precision_curve, run, score, to_coco_results

__all__ = ["METRICS", "detect", "evaluate", "precision_curve", "run", "score", "to_coco_results"]
