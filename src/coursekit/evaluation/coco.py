"""COCO's twelve numbers, and the precision curves behind them."""

import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco_engines import build, check_engine, evaluated
from coursekit.evaluation.columns import Columns
from coursekit.evaluation.results import Result
from coursekit.evaluation.table import Boxes, by_image_id, read_detections, read_ground_truth

METRICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


class Evaluated(NamedTuple):
    """An engine's answer: the twelve numbers, and precision (10 IoUs, 101 recalls, classes, 4 sizes, 3 counts)."""

    numbers: dict[str, float]
    precision: NDArray[np.float64]


def score(results: list[Result] | Columns, dataset: CocoDataset, *, engine: str = "hotcoco") -> dict[str, float]:
    """Return COCO's twelve numbers over the images of `dataset`. As in COCO, unknown classes are skipped.

    Args:
        results: detections in COCO's format, as from `predict_dataset`, or as arrays, which takes less time; use
            `evaluate` to check those from elsewhere.
        dataset: has the ground truth.
        engine: "hotcoco", or "pycocotools", which gives the same numbers and takes far longer.

    Returns:
        METRICS → value in 0 to 1; -1 where there is no ground truth.

    Raises:
        DataError: a record is not a detection, or its image is not in `dataset`.
        ConfigError: there is no such engine.
    """
    return run_engine(results, dataset, engine).numbers


def precision_curve(results: list[Result] | Columns, dataset: CocoDataset, label: int) -> list[float]:
    """Return precision by recall for one class at IoU 0.5.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        label: the class, from 1.

    Returns:
        101 precisions at recall 0.00, 0.01, … 1.00, each the highest at that recall or beyond; 0 where recall never
        gets that far. Their mean is the class's AP50. All -1 if the class has no ground truth.
    """
    curve: list[float] = run_engine(results, dataset).precision[0, :, label - 1, 0, -1].tolist()
    return curve


def run_engine(results: list[Result] | Columns, dataset: CocoDataset, engine: str = "hotcoco") -> Evaluated:
    """Score results with an engine. Arguments and errors are those of `score`."""
    check_engine(engine)
    detections = read_known_detections(results, by_image_id(dataset))
    evaluator = evaluated(_built(dataset, engine), detections, engine)
    numbers = dict(zip(METRICS, (float(value) for value in evaluator.stats), strict=True))
    return Evaluated(numbers, np.asarray(evaluator.eval["precision"]))


def read_known_detections(results: list[Result] | Columns, dataset: CocoDataset) -> Boxes:
    """Return the detections of classes that the data set has.

    Raises:
        DataError: as for `score`.
    """
    detections = read_detections(results, dataset)
    known = detections.labels > 0
    return detections if known.all() else detections.take(known)


_BUILT: dict[tuple[str, int], Any] = {}  # ground truth in an engine's form, as long as its data set exists


def _built(dataset: CocoDataset, engine: str) -> Any:
    """Return the engine's ground truth, built once per data set: a training run scores on it again and again."""
    key = (engine, id(dataset))
    if key not in _BUILT:
        gt = read_ground_truth(by_image_id(dataset))
        _BUILT[key] = build(gt, len(dataset), dataset.classes, engine)
        weakref.finalize(dataset, _BUILT.pop, key, None)  # its id may go to another data set
    return _BUILT[key]
