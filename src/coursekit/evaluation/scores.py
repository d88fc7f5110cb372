"""Everything that one evaluation gives: COCO's twelve numbers, those of each class, and the curves."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from coursekit.core.distributed import rank, told
from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation.coco import check_engine, predict_dataset, run_engine
from coursekit.evaluation.results import Result, check_results, read_results


@dataclass(frozen=True)
class ClassScore:
    """One class: its boxes (crowds apart) and the images they are in, AP and AP50; -1 where there are no boxes."""

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
        metrics: METRICS → value in 0 to 1; -1 where there is no truth to score against.
        per_class: in the order of the labels.
        curves: class → 101 precisions at recall 0.00, 0.01, … 1.00 and IoU 0.5; all -1 where there are no boxes.
            Where several classes share a name, it is followed by their ids.
    """

    metrics: dict[str, float]
    per_class: list[ClassScore]
    curves: dict[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        """What `json.dumps` takes: `metrics`, `per_class`, `curves`, named as here."""
        return asdict(self)


def evaluate(
    found: nn.Module | list[Result] | str | Path,
    truth: CocoDataset | str | Path,
    *,
    engine: str = "hotcoco",
    batch_size: int = 8,
) -> Scores:
    """Score a detector, or what one has found. Changes none of its inputs.

    Of several processes each runs a detector on its share of the images, and all get the scores.

    Args:
        found: a detector, or detections in COCO's format: a list, or the path of a results file.
        truth: a data set, or the path of an annotation file: without a detector no images are needed.
        engine: see `score`.
        batch_size: images that the detector gets at a time.

    Raises:
        DataError: a file is not sound, or a detection can't be: see `check_results`.
        ConfigError: no such engine, or a detector with no images.
    """
    check_engine(engine)
    if isinstance(found, nn.Module):
        dataset = _with_images(truth)
        results = predict_dataset(found, dataset, batch_size=batch_size)
        scores: Scores = told(_scores(results, dataset, engine, "the detector") if rank() == 0 else None)
        return scores
    dataset = truth if isinstance(truth, CocoDataset) else truth_of(Path(truth))
    if isinstance(found, str | Path):
        return _summed_up(read_results(found, dataset), dataset, engine)
    return _scores(found, dataset, engine, "results")


def _scores(results: list[Result], dataset: CocoDataset, engine: str, name: str) -> Scores:
    check_results(results, dataset, name)
    return _summed_up(results, dataset, engine)


def _summed_up(results: list[Result], dataset: CocoDataset, engine: str) -> Scores:
    """The scores of checked results."""
    metrics, precision = run_engine(results, dataset, engine)
    overall = precision[:, :, :, 0, -1]  # (10 IoUs, 101 recalls, classes): boxes of every size, 100 an image
    curves = dict(zip(_distinct_names(dataset), overall[0].T.tolist(), strict=True))
    return Scores(metrics, _per_class(dataset, overall), curves)


def _per_class(dataset: CocoDataset, precision: NDArray[np.float64]) -> list[ClassScore]:
    index = dataset.index
    counted = np.isin(index.image_rows, dataset.rows) & ~index.is_crowd
    rows = []
    for category, values in zip(dataset.categories, precision.transpose(2, 0, 1), strict=True):
        images = index.image_rows[counted & (index.category_ids == category.id)]
        ap, ap50 = float(values.mean()), float(values[0].mean())  # all -1 without boxes, else none
        rows.append(ClassScore(category.name, category.id, len(images), len(np.unique(images)), ap, ap50))
    return rows


def _distinct_names(dataset: CocoDataset) -> list[str]:
    names = dataset.classes
    return [one.name if names.count(one.name) == 1 else f"{one.name} ({one.id})" for one in dataset.categories]


def _with_images(truth: CocoDataset | str | Path) -> CocoDataset:
    if isinstance(truth, CocoDataset):
        return truth
    raise ConfigError(f"{truth}: a detector needs images, not just records. Give it coursekit.data.load(DIR, SPLIT).")


def truth_of(path: Path) -> CocoDataset:
    """The records of an annotation file as a data set; no images are needed to score results.

    Raises:
        DataError: the file is not sound.
    """
    index = CocoIndex.load(path)
    return CocoDataset(str(path), index, np.arange(len(index)), path.parent)
