"""Detections and ground truth in one table of columns.

The rest of the package reads this table: `coco_engines` scores it, `match_detections` matches it, `intervals`
draws images from it, and `causes_and_repairs` changes its detections to see whether more of them match.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.columns import BROKEN, Columns, columns_of
from coursekit.evaluation.results import Result, check_results

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]
Bools = NDArray[np.bool_]
_WIDEST = 2_000_000  # between two ids, for a table of all ids between them: COCO's images go to 581,929


@dataclass(frozen=True)
class Boxes:
    """Detections or ground truth as columns, one row per box.

    Attributes:
        image_ids, category_ids: (N,) COCO's ids, as in the file.
        images: (N,) position of the image in the data set; -1 if the data set doesn't have that id.
        labels: (N,) from 1; 0 if the data set doesn't have that category id.
        boxes: (N, 4) left, top, width, height in pixels.
        scores: (N,) confidence of a detection; 1 for ground truth.
        areas: (N,) in square pixels: of the outline for ground truth, of the box for detections.
        is_crowd: (N,) bool; False for detections.
    """

    image_ids: Ints
    category_ids: Ints
    images: Ints
    labels: Ints
    boxes: Floats
    scores: Floats
    areas: Floats
    is_crowd: Bools

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[Any]) -> "Boxes":
        """Return some rows, given by a mask or by their positions."""
        return Boxes(*(getattr(self, column.name)[rows] for column in fields(self)))

    def as_one_class(self) -> "Boxes":
        """Return the same boxes, all with label 1, so that they match whatever their class."""
        return replace(self, labels=np.ones_like(self.labels))


def by_image_id(dataset: CocoDataset) -> CocoDataset:
    """Return the data set with its images in the order of their ids.

    COCO goes through the images in that order, and so it ranks detections whose scores are equal.
    """
    _, first = np.unique(dataset.index.image_ids[dataset.rows], return_index=True)
    return replace(dataset, rows=dataset.rows[first])


def read_ground_truth(dataset: CocoDataset) -> Boxes:
    """Return every box of the data set's images, crowds included, image by image."""
    index = dataset.index
    counts = np.diff(index.offsets)[dataset.rows]
    rows = np.repeat(index.offsets[dataset.rows], counts) + count_up(counts)
    return Boxes(
        image_ids=np.repeat(index.image_ids[dataset.rows], counts),
        category_ids=index.category_ids[rows],
        images=np.repeat(np.arange(len(dataset)), counts),
        labels=positions(np.array(dataset.category_ids), index.category_ids[rows]) + 1,
        boxes=index.boxes[rows],
        scores=np.ones(len(rows)),
        areas=index.areas[rows],
        is_crowd=index.is_crowd[rows],
    )


def locate(columns: Columns, dataset: CocoDataset) -> Boxes:
    """Return detections with the positions of their images and classes in the data set."""
    image_ids, category_ids, boxes, scores = columns
    return Boxes(
        image_ids=image_ids,
        category_ids=category_ids,
        images=positions(dataset.index.image_ids[dataset.rows], image_ids),
        labels=positions(np.array(dataset.category_ids), category_ids) + 1,
        boxes=boxes,
        scores=scores,
        areas=boxes[:, 2] * boxes[:, 3],
        is_crowd=np.zeros(len(scores), bool),
    )


def read_detections(results: list[Result] | Columns, dataset: CocoDataset, name: str = "results") -> Boxes:
    """Return detections in the order given. The thorough check is slow, so it runs only to say what is wrong.

    Args:
        results: in COCO's format, or as arrays.
        dataset: has the images and classes.
        name: name of the results in error messages.

    Raises:
        DataError: a record is not a detection, or its image is not in the data set.
    """
    try:
        detections = locate(columns_of(results), dataset)
    except BROKEN:
        check_results(results, dataset, name)
        raise
    if (detections.images < 0).any():
        check_results(results, dataset, name)
    return detections


def positions(ids: Ints, wanted: Ints) -> Ints:
    """Return (N,) the position of each wanted id in `ids`, -1 where it isn't there."""
    if not len(ids) or not len(wanted):
        return np.full(len(wanted), -1)
    first, last = int(ids.min()), int(ids.max())
    if last - first > _WIDEST:
        return _searched(ids, wanted)
    table = np.full(last - first + 2, -1)  # position by id; the last place is for ids out of range
    table[(ids - first)[::-1]] = np.arange(len(ids))[::-1]  # of equal ids the first counts
    found: Ints = table[np.where((wanted >= first) & (wanted <= last), wanted - first, -1)]
    return found


def _searched(ids: Ints, wanted: Ints) -> Ints:
    """Do what `positions` does for ids so far apart that a table would be too large."""
    order = np.argsort(ids, kind="stable")
    places = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[places] == wanted, places, -1)


def count_up(counts: Ints) -> Ints:
    """Return 0, 1, … counts[0] - 1, 0, 1, … counts[1] - 1, and so on."""
    return np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
