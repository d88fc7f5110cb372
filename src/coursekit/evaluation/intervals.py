"""Confidence intervals: how far COCO's twelve numbers would move with other images like these."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco import METRICS, read_known_detections
from coursekit.evaluation.coco_engines import build, evaluated
from coursekit.evaluation.compare import MIN_DRAWS, draw_images
from coursekit.evaluation.results import Result
from coursekit.evaluation.table import Boxes, Ints, by_image_id, count_up, read_ground_truth

Interval = tuple[float, float]


def intervals(results: list[Result], dataset: CocoDataset, *, draws: int = 100, seed: int = 0) -> dict[str, Interval]:
    """Return a 95 % interval for each of the twelve numbers, from a bootstrap over the images.

    Each draw takes as many images as there are, some of them several times and some never, and scores them (Efron and
    Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13). It says nothing about other training seeds.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        draws: at least 40, so that one of them can be beyond either end.
        seed: seed of the draws.

    Returns:
        METRICS → low and high; both -1 if no draw had any ground truth.

    Raises:
        ConfigError: there are too few draws.
        DataError: a record is not a detection, or its image is not in `dataset`.
    """
    if draws < MIN_DRAWS:
        raise ConfigError(f"draws={draws}: a 95 % interval needs at least {MIN_DRAWS}; 100 is usual.")
    resampled = Resampled(results, dataset)
    times = draw_images(len(dataset), draws, seed)
    numbers = np.array([resampled.score(draw) for draw in tqdm(times, desc="intervals", leave=False, delay=2)])
    return {name: _interval(numbers[:, column]) for column, name in enumerate(METRICS)}


class Resampled:
    """Detections and ground truth sorted by image, so that any draw of images is quickly made and scored."""

    def __init__(self, results: list[Result], dataset: CocoDataset) -> None:
        dataset = by_image_id(dataset)
        detections = read_known_detections(results, dataset)
        self.detections = detections.take(np.argsort(detections.images, kind="stable"))
        self.gt, self.classes = read_ground_truth(dataset), dataset.classes

    def score(self, times: Ints) -> list[float]:
        """Return the twelve numbers of a draw: (I,) how often each image, in the order of the ids, is in it."""
        drawn = np.repeat(np.arange(len(times)), times)
        built = build(_take_images(self.gt, drawn), len(drawn), self.classes)
        return [float(value) for value in evaluated(built, _take_images(self.detections, drawn)).stats]


def _take_images(boxes: Boxes, drawn: Ints) -> Boxes:
    """Return the boxes, sorted by image, of each drawn image; an image drawn twice counts as two images."""
    starts = np.searchsorted(boxes.images, drawn)
    counts = np.searchsorted(boxes.images, drawn, side="right") - starts
    rows = np.repeat(starts, counts) + count_up(counts)
    return replace(boxes.take(rows), images=np.repeat(np.arange(len(drawn)), counts))


def _interval(values: NDArray[np.float64]) -> Interval:
    values = values[values >= 0]
    if not len(values):
        return -1.0, -1.0
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
