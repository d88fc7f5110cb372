"""The scores of one evaluation: COCO's twelve numbers, those of each class, and the curves."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from coursekit.core.distributed import broadcast, rank
from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation.coco import run_engine
from coursekit.evaluation.coco_engines import check_engine
from coursekit.evaluation.columns import Columns
from coursekit.evaluation.inference import predict_dataset
from coursekit.evaluation.results import Result, checked_columns, read_columns
from coursekit.evaluation.table import read_ground_truth


@dataclass(frozen=True)
class ClassScore:
    """One class: its boxes without crowds, the images they are in, AP and AP50; -1 if there are no boxes."""

    name: str
    category_id: int
    boxes: int
    images: int
    AP: float
    AP50: float


@dataclass(frozen=True)
class Scores:
    """A detector's scores.

    Attributes:
        metrics: METRICS → value in 0 to 1; -1 where there is no ground truth.
        per_class: in the order of the labels.
        curves: class → 101 precisions at recall 0.00, 0.01, … 1.00 and IoU 0.5; all -1 if there are no boxes.
            If several classes share a name, their ids are appended to it.
    """

    metrics: dict[str, float]
    per_class: list[ClassScore]
    curves: dict[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        """Return `metrics`, `per_class`, `curves` in a form that `json.dumps` takes."""
        return asdict(self)


def evaluate(
    predictions: nn.Module | list[Result] | Columns | str | Path,
    ground_truth: CocoDataset | str | Path,
    *,
    engine: str = "hotcoco",
    batch_size: int = 8,
) -> Scores:
    """Score a detector, or its detections. The inputs are not changed.

    With several processes, each runs the detector on its share of the images, and all get the scores.

    Args:
        predictions: a detector; or detections in COCO's format, as a list, arrays or the path of a results file.
        ground_truth: a data set, or the path of an annotation file; only a detector needs the images.
        engine: see `score`.
        batch_size: images per batch, for a detector.

    Raises:
        DataError: a file is broken, there is no ground truth, or a detection is not valid: see `check_results`.
        ConfigError: there is no such engine, or a detector gets no images.
    """
    check_engine(engine)
    dataset = _dataset(ground_truth, needs_images=isinstance(predictions, nn.Module))
    dataset.index.require_boxes(dataset.rows)
    if isinstance(predictions, nn.Module):
        results = predict_dataset(predictions, dataset, batch_size=batch_size)
        scores: Scores = broadcast(_checked_scores(results, dataset, engine, "the detector") if rank() == 0 else None)
        return scores
    if isinstance(predictions, str | Path):
        return _scores(read_columns(predictions, dataset), dataset, engine)
    return _checked_scores(predictions, dataset, engine, "results")


def load_annotations(path: Path) -> CocoDataset:
    """Load an annotation file as a data set whose images may be missing: scoring results doesn't need them.

    Raises:
        DataError: the file is broken.
    """
    index = CocoIndex.load(path)
    return CocoDataset(str(path), index, np.arange(len(index)), path.parent)


def _checked_scores(results: list[Result] | Columns, dataset: CocoDataset, engine: str, name: str) -> Scores:
    return _scores(checked_columns(results, dataset, name), dataset, engine)


def _scores(columns: Columns, dataset: CocoDataset, engine: str) -> Scores:
    """Return the scores of checked results."""
    metrics, precision = run_engine(columns, dataset, engine)
    overall = precision[:, :, :, 0, -1]  # (10 IoUs, 101 recalls, classes): boxes of every size, 100 an image
    curves = dict(zip(_distinct_names(dataset), overall[0].T.tolist(), strict=True))
    return Scores(metrics, _per_class(dataset, overall), curves)


def _per_class(dataset: CocoDataset, precision: NDArray[np.float64]) -> list[ClassScore]:
    gt = read_ground_truth(dataset)
    gt = gt.take(~gt.is_crowd)
    rows = []
    for label, (category, values) in enumerate(zip(dataset.categories, precision.transpose(2, 0, 1), strict=True), 1):
        images = gt.images[gt.labels == label]
        ap, ap50 = float(values.mean()), float(values[0].mean())  # without boxes all are -1, else none is
        rows.append(ClassScore(category.name, category.id, len(images), len(np.unique(images)), ap, ap50))
    return rows


def _distinct_names(dataset: CocoDataset) -> list[str]:
    names = dataset.classes
    return [
        category.name if names.count(category.name) == 1 else f"{category.name} ({category.id})"
        for category in dataset.categories
    ]


def _dataset(ground_truth: CocoDataset | str | Path, needs_images: bool) -> CocoDataset:
    if isinstance(ground_truth, CocoDataset):
        return ground_truth
    if needs_images:
        raise ConfigError(
            f"{ground_truth}: a detector needs images, and this path has only annotations. "
            "Pass coursekit.data.load(DIR, SPLIT)."
        )
    return load_annotations(Path(ground_truth))
