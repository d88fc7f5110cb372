"""How far COCO's twelve numbers would move with other images like these."""

import io
from contextlib import redirect_stdout

import hotcoco
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco import METRICS, columns_in
from coursekit.evaluation.compare import LEAST_DRAWS, draw_images
from coursekit.evaluation.results import Result

Interval = tuple[float, float]
Rows = NDArray[np.intp]


def intervals(results: list[Result], dataset: CocoDataset, *, draws: int = 100, seed: int = 0) -> dict[str, Interval]:
    """For each of the twelve numbers where 95 % of a bootstrap over the images lies.

    Each draw takes as many images as there are, some twice or more and some not at all, and scores them anew (Efron and
    Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13). It knows nothing of other seeds of the training.

    Args:
        results: detections in COCO's format.
        dataset: whose records are the truth.
        draws: at least 40, so that one of them can lie beyond either end.
        seed: of the draws.

    Returns:
        METRICS → low and high; both -1 where there was nothing to score against in any draw.

    Raises:
        ConfigError: too few draws.
        DataError: a record is no detection, or of an image that is not in `dataset`.
    """
    if draws < LEAST_DRAWS:
        raise ConfigError(f"draws={draws}: a 95 % interval needs at least {LEAST_DRAWS}; 100 is usual.")
    times = draw_images(len(dataset), draws, seed)
    resampled = Resampled(results, dataset)
    numbers = np.array([resampled.score(one) for one in tqdm(times, desc="intervals", leave=False, delay=2)])
    return {name: _interval(numbers[:, place]) for place, name in enumerate(METRICS)}


class Resampled:
    """Truth and detections as arrays, sorted by image, from which any draw of images is quickly made."""

    def __init__(self, results: list[Result], dataset: CocoDataset) -> None:
        index, ids = dataset.index, np.unique(dataset.image_ids)
        found = columns_in(results, dataset)
        images = np.searchsorted(ids, found.image_ids)
        labels = np.searchsorted(dataset.category_ids, found.category_ids) + 1
        order = np.argsort(images, kind="stable")
        self.found = np.column_stack([images, found.boxes, found.scores, labels])[order]  # (D, 7)
        rows = np.flatnonzero(np.isin(index.image_rows, dataset.rows))
        images = np.searchsorted(ids, index.image_ids[index.image_rows[rows]])
        order = np.argsort(images, kind="stable")
        self.truth, self.truth_images = rows[order], images[order]
        self.dataset, self.index = dataset, index

    def score(self, times: NDArray[np.signedinteger]) -> list[float]:
        """The twelve numbers of a draw, (I,) how often each image is in it."""
        chosen = np.repeat(np.arange(len(times)), times)  # place of an image, one for each of its appearances
        mine, numbers = _rows_of(chosen, self.truth_images)
        rows = self.truth[mine]
        with redirect_stdout(io.StringIO()):
            truth = hotcoco.COCO.from_arrays(
                [{"id": number + 1, "width": 1, "height": 1, "file_name": ""} for number in range(len(chosen))],
                [{"id": number + 1, "name": name} for number, name in enumerate(self.dataset.classes)],
                numbers + 1,
                np.searchsorted(self.dataset.category_ids, self.index.category_ids[rows]) + 1,
                self.index.boxes[rows],
                area=self.index.areas[rows],
                iscrowd=self.index.is_crowd[rows],
            )
            mine, numbers = _rows_of(chosen, self.found[:, 0])
            table = self.found[mine]
            table[:, 0] = numbers + 1
            evaluator = hotcoco.COCOeval(truth, truth.loadRes(table), "bbox")
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        return [float(value) for value in evaluator.stats]


def _rows_of(chosen: Rows, images: NDArray[np.generic]) -> tuple[Rows, Rows]:
    """Rows of a table sorted by image that belong to each appearance, and the number of that appearance."""
    start, end = np.searchsorted(images, chosen), np.searchsorted(images, chosen, side="right")
    counts = end - start
    numbers = np.repeat(np.arange(len(chosen)), counts)
    within = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(start, counts) + within, numbers


def _interval(values: NDArray[np.float64]) -> Interval:
    values = values[values >= 0]
    if not len(values):
        return -1.0, -1.0
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
