"""COCO's average precision, to be read: what lesson 09 builds. `score` gives the same numbers and is faster.

After cocoeval.py in pycocotools, by P. Dollár and T.-Y. Lin. Boxes are (left, top, width, height) in pixels.
"""

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco import METRICS
from coursekit.evaluation.results import Columns, Result, columns_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Sample = tuple[Floats, Floats, Floats, Bools, Floats]  # one class in one image: as match_detections has it, and areas
IOUS, RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)
AREAS = [(0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10)]  # all, small, medium, large; ends included
COUNTS = (1, 10, 100)  # so many of the surest detections, for each image and class
RIGHT, WRONG, IGNORED = 1, 0, -1


def overlaps(boxes: Floats, truth: Floats, is_crowd: Bools) -> Floats:
    """(D, G) IoU; with a crowd region, the share of the detection that lies in it."""
    start = np.maximum(boxes[:, None, :2], truth[:, :2])
    end = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], truth[:, :2] + truth[:, 2:])
    both = np.clip(end - start, 0, None).prod(axis=2)
    area, true_area = boxes[:, 2:].prod(axis=1)[:, None], truth[:, 2:].prod(axis=1)
    return both / np.where(both > 0, np.where(is_crowd, area, area + true_area - both), 1)  # no extent: 0, not 0 / 0


def match_detections(
    boxes: Floats, scores: Floats, truth: Floats, is_crowd: Bools, ious: Floats = IOUS, ignored: Bools | None = None
) -> NDArray[np.intp]:
    """Which object each detection has found: the surest chooses first, and takes what it overlaps most.

    An object is found once, a crowd region any number of times. Ignored objects are taken where no other is left.

    Args:
        boxes, scores: (D, 4) and (D,), the detections of one class in one image, in any order.
        truth, is_crowd: (G, 4) and (G,), the objects of that class in that image.
        ious: (T,) least overlaps, the ends included. A least overlap of 1 is taken as 1 - 1e-10.
        ignored: (G,) objects that don't count; the crowds where not given.

    Returns:
        (T, D) rows of `truth`; -1 where nothing was found.
    """
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(np.minimum(ious, 1 - 1e-10)):
        is_free = np.ones(len(truth), bool)
        for one in np.argsort(-scores, kind="stable"):  # equal scores stay in order
            possible = is_free & (overlap[one] >= least)
            if (possible & ~ignored).any():
                possible &= ~ignored
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()  # of equals the last
                matched[row, one], is_free[best] = best, is_crowd[best]
    return matched


def precision_recall(is_right: Bools, objects: int) -> tuple[Floats, Floats]:
    """Of the first 1, 2, … D detections the share that is right, and of the objects the share found by them, (D,) each.

    Args:
        is_right: (D,) whether each detection has found an object, surest first.
        objects: how many there are to find, at least one.
    """
    right = is_right.cumsum()
    return right / np.arange(1, len(right) + 1), right / objects


def average_precision(precision: Floats, recall: Floats) -> float:
    """Mean, over recall 0.00, 0.01, … 1.00, of the best precision there or beyond; 0 where recall never gets there."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(best, 0)[np.searchsorted(recall, RECALLS)].mean())


def coco_map(results: list[Result], dataset: CocoDataset) -> dict[str, float]:
    """COCO's twelve numbers: METRICS → value in 0 to 1, or -1 where there is no truth to score against."""
    found = columns_of(results)
    samples = [_samples(found, dataset, category_id) for category_id in dataset.category_ids]
    table = np.array([[_class_numbers(one, *area) for area in AREAS] for one in samples])  # (classes, 4, T, 4)
    ap, recall = table[..., 0], table[..., 1:]
    kinds = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], *(ap[:, area] for area in (1, 2, 3))]
    kinds += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    means = [float(kind[kind >= 0].mean()) if (kind >= 0).any() else -1.0 for kind in kinds]
    return dict(zip(METRICS, means, strict=True))


def _samples(found: Columns, dataset: CocoDataset, category_id: int) -> list[Sample]:
    """One class, image by image in the order of the ids: so detections stand whose scores are equal."""
    index, samples = dataset.index, []
    for row in sorted(dataset.rows.tolist(), key=index.image_ids.__getitem__):
        mine = np.flatnonzero((found.image_ids == index.image_ids[row]) & (found.category_ids == category_id))
        mine = mine[np.argsort(-found.scores[mine], kind="stable")]
        true = index.offsets[row] + np.flatnonzero(index.category_ids[index.rows_of(row)] == category_id)
        truth = index.boxes[true], index.is_crowd[true], index.areas[true]  # areas are the outlines', not the boxes'
        if len(mine) or len(true):
            samples.append((found.boxes[mine], found.scores[mine], *truth))
    return samples


def _class_numbers(samples: list[Sample], low: float, high: float) -> Floats:
    """(T, 4) AP and the recalls at the three counts, for objects of these areas; -1 where there are none."""
    parts, objects = [np.empty((2 + len(IOUS), 0))], 0
    for boxes, scores, truth, is_crowd, areas in samples:
        ignored, sizes = is_crowd | (areas < low) | (areas > high), boxes[:, 2:].prod(axis=1)
        matched = match_detections(boxes, scores, truth, is_crowd, ignored=ignored)
        fate = np.append(np.where(ignored, IGNORED, RIGHT), WRONG)[matched]  # -1 is the last
        fate[(matched < 0) & ((sizes < low) | (sizes > high))] = IGNORED
        parts.append(np.vstack([scores, np.arange(len(scores)), fate]))
        objects += int((~ignored).sum())
    scores, ranks, *fates = (row for row in np.hstack(parts))
    order = np.argsort(-scores, kind="stable")
    return np.array([_numbers(fate[order], ranks[order], objects) if objects else [-1.0] * 4 for fate in fates])


def _numbers(fate: Floats, ranks: Floats, objects: int) -> list[float]:
    curves = [precision_recall(fate[(fate != IGNORED) & (ranks < count)] == RIGHT, objects) for count in COUNTS]
    return [average_precision(*curves[-1]), *(float(recall.max(initial=0)) for _, recall in curves)]
