"""COCO's rule for matching detections with ground truth, on the tables of `table`.

`error_analysis` counts the matches, and `compare` draws images from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.results import Result, check_results
from coursekit.evaluation.table import (
    Bools,
    Boxes,
    Floats,
    Ints,
    by_image_id,
    count_up,
    read_detections,
    read_ground_truth,
)

IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
UNMATCHED, ON_CROWD = -1, -2  # in place of a row of ground truth
_DETECTIONS_PER_CLASS = 100  # in one image; COCO ignores the less confident ones


@dataclass(frozen=True)
class Matches:
    """Which detection matches which ground-truth box, by COCO's rule.

    Attributes:
        image_ids: (I,) COCO's ids in rising order; `images` of the tables are positions in it.
        detections: D detections, by image, class, and falling score.
        gt: G ground-truth boxes, without crowds.
        partners: (T, D) for each IoU threshold the row of `gt`; else UNMATCHED, or ON_CROWD, which doesn't count.
    """

    image_ids: list[int]
    detections: Boxes
    gt: Boxes
    partners: Ints


def match(
    results: list[Result],
    dataset: CocoDataset,
    ious: Sequence[float] = IOUS,
    *,
    score_thresh: float = 0.0,
    across_classes: bool = False,
    name: str = "results",
) -> Matches:
    """Match each detection to the ground-truth box that it overlaps most, the most confident detection first.

    This is COCO's rule. Each box matches at most one detection. A detection that matches no box but overlaps a crowd of
    its class is ignored. The engines compute the same matches, but copying those of 5,000 images to Python takes half a
    minute.

    Args:
        results: detections in COCO's format; of each class in each image only the 100 most confident are used.
        dataset: has the ground truth.
        ious: T IoU thresholds.
        score_thresh: detections with a lower score are dropped.
        across_classes: then match the detections and boxes that are still unmatched, whatever their classes.
        name: name of the results in error messages.

    Raises:
        DataError: there is no ground truth, or a record is not a valid detection, or its image or class is not in the
            data set.
    """
    dataset = by_image_id(dataset)
    detections = _ranked(_checked_detections(results, dataset, name))
    detections = detections.take(detections.scores >= score_thresh)
    everything = read_ground_truth(dataset)
    gt, crowds = everything.take(~everything.is_crowd), everything.take(everything.is_crowd)
    if not len(gt):
        raise DataError(f"{dataset.annotation_file}: the {len(dataset)} images have no boxes, so there is no score.")
    thresholds = np.minimum(np.asarray(ious), 1 - 1e-10)[:, None]
    partners = _assign(detections, gt, thresholds)
    partners[(partners == UNMATCHED) & (_share_on_crowd(detections, crowds) >= thresholds)] = ON_CROWD
    if across_classes:
        pairs = zip(partners, thresholds, strict=True)
        partners = np.stack([_match_leftovers(detections, gt, *pair) for pair in pairs])
    return Matches(dataset.image_ids, detections, gt, partners)


def pairs_of(detections: Boxes, gt: Boxes) -> tuple[Ints, Ints]:
    """Return all pairs of a detection and a ground-truth box of the same image and class.

    Returns:
        (P,) rows of `detections`, rising, and (P,) rows of `gt`. Unknown images and classes are in no pair.
    """
    keys, gt_keys = _keys(detections), _keys(gt)
    order = np.argsort(gt_keys, kind="stable")
    starts = np.searchsorted(gt_keys[order], keys, "left")
    counts = np.searchsorted(gt_keys[order], keys, "right") - starts
    return np.repeat(np.arange(len(keys)), counts), order[np.repeat(starts, counts) + count_up(counts)]


def paired_iou(boxes: Floats, gt_boxes: Floats, is_crowd: Bools | bool = False) -> Floats:
    """Return the IoU of each pair of xywh boxes, (P, 4) and (P, 4); with a crowd, the share of `boxes` on it.

    Boxes with zero or negative width or height overlap nothing.
    """
    start = np.maximum(boxes[:, :2], gt_boxes[:, :2])
    end = np.minimum(boxes[:, :2] + boxes[:, 2:], gt_boxes[:, :2] + gt_boxes[:, 2:])
    shared = (end - start).clip(min=0).prod(axis=1)
    area, gt_area = boxes[:, 2:].prod(axis=1), gt_boxes[:, 2:].prod(axis=1)
    whole = np.where(is_crowd, area, area + gt_area - shared)
    return shared / np.where(shared > 0, np.maximum(whole, 1e-12), 1)


def _checked_detections(results: list[Result], dataset: CocoDataset, name: str) -> Boxes:
    """Read detections whose classes are known and whose numbers are finite."""
    detections = read_detections(results, dataset, name)
    finite = np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()
    if not finite or (detections.labels < 1).any():
        check_results(results, dataset, name)
    return detections


def _ranked(detections: Boxes) -> Boxes:
    """Sort by image, class and falling score, equal scores in the order given, and drop what COCO ignores."""
    detections = detections.take(np.lexsort([-detections.scores, detections.labels, detections.images]))
    return detections.take(_ranks(_keys(detections)) < _DETECTIONS_PER_CLASS)


def _keys(boxes: Boxes) -> Ints:
    """Return (N,) one number for each class in each image."""
    return (boxes.images << 32) + boxes.labels


def _ranks(keys: Ints) -> Ints:
    """Return (N,) the position of each row among those of the same key, which are neighbors."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return count_up(np.diff(starts, append=len(keys)))


def _share_on_crowd(detections: Boxes, crowds: Boxes) -> Floats:
    """Return (D,) the largest share of each detection that is on one crowd of its class."""
    rows, others = pairs_of(detections, crowds)
    largest = np.zeros(len(detections))
    np.maximum.at(largest, rows, paired_iou(detections.boxes[rows], crowds.boxes[others], True))
    return largest


def _assign(detections: Boxes, gt: Boxes, thresholds: Floats) -> Ints:
    """Return (T, D) each detection's row of `gt` or UNMATCHED, for IoU thresholds (T, 1).

    Detections of the same image and class are neighbors, the most confident first. They choose in rounds: in each round
    one detection of every class in every image. No two of them want the same box, so the result is that of one after
    the other. Detections that overlap nothing are dropped before, which keeps the rounds few.
    """
    rows, others = pairs_of(detections, gt)
    iou = paired_iou(detections.boxes[rows], gt.boxes[others])
    near = iou >= thresholds.min()
    rows, others, iou = rows[near], others[near], iou[near]
    partners, free = np.full((len(thresholds), len(detections)), UNMATCHED), np.ones((len(thresholds), len(gt)), bool)
    choosers, starts, counts = np.unique(rows, return_index=True, return_counts=True)
    rounds = _ranks(_keys(detections)[choosers])
    for number in range(rounds.max(initial=-1) + 1):
        now = rounds == number
        pairs = np.repeat(starts[now], counts[now]) + count_up(counts[now])
        _choose(rows[pairs], others[pairs], iou[pairs], thresholds, partners, free)
    return partners


def _choose(rows: Ints, others: Ints, iou: Floats, thresholds: Floats, partners: Ints, free: Bools) -> None:
    """Let each detection of the pairs take the free box that it overlaps most. Updates `partners` and `free`."""
    value = np.where((iou >= thresholds) & free[:, others], iou, -1.0)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    best = np.maximum.reduceat(value, starts, axis=1)
    is_best = (value >= 0) & (value == np.repeat(best, np.diff(starts, append=len(rows)), axis=1))
    which, pair = np.nonzero(is_best)
    partners[which, rows[pair]] = others[pair]  # of equal ones the last stays, as in COCO's loop
    choosers = rows[starts]
    which, place = np.nonzero(partners[:, choosers] >= 0)
    free[which, partners[which, choosers[place]]] = False


def _match_leftovers(detections: Boxes, gt: Boxes, partners: Ints, threshold: Floats) -> Ints:
    """Return partners (D,) in which unmatched detections match unmatched boxes of any class."""
    left = np.flatnonzero(partners == UNMATCHED)
    left = left[np.lexsort([-detections.scores[left], detections.images[left]])]
    free = np.setdiff1d(np.arange(len(gt)), partners)
    chosen = _assign(detections.take(left).as_one_class(), gt.take(free).as_one_class(), threshold[None])[0]
    partners = partners.copy()
    partners[left[chosen >= 0]] = free[chosen[chosen >= 0]]
    return partners
