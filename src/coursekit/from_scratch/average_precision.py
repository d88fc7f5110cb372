"""COCO's average precision, written to be read: the reference for lesson 09. `score` gives the same numbers, faster.

After cocoeval.py in pycocotools, by P. Dollár and T.-Y. Lin. Boxes are (left, top, width, height) in pixels.
"""

import numpy as np
from numpy.typing import NDArray

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco import METRICS
from coursekit.evaluation.columns import Columns, columns_of
from coursekit.evaluation.results import Result

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Sample = tuple[Floats, Floats, Floats, Bools, Floats]  # one class in one image: as in match_detections, and gt_areas
IOUS, RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)
AREAS = [(0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10)]  # all, small, medium, large; ends included
COUNTS = (1, 10, 100)  # detections per image and class, the most confident ones
TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


def overlaps(boxes: Floats, gt_boxes: Floats, is_crowd: Bools) -> Floats:
    """Return (D, G) IoU; with a crowd region, the share of the detection that is inside it."""
    start = np.maximum(boxes[:, None, :2], gt_boxes[:, :2])
    end = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], gt_boxes[:, :2] + gt_boxes[:, 2:])
    shared = np.clip(end - start, 0, None).prod(axis=2)
    area, gt_area = boxes[:, 2:].prod(axis=1)[:, None], gt_boxes[:, 2:].prod(axis=1)
    whole = np.where(is_crowd, area, area + gt_area - shared)
    return shared / np.where(shared > 0, whole, 1)  # an empty box has an overlap of 0, not 0 / 0


def match_detections(
    boxes: Floats,
    scores: Floats,
    gt_boxes: Floats,
    is_crowd: Bools,
    iou_thresholds: Floats = IOUS,
    ignored: Bools | None = None,
) -> NDArray[np.intp]:
    """Match detections to ground truth: the most confident one chooses first, and takes the box it overlaps most.

    A box is taken once, a crowd region any number of times. Ignored boxes are taken only if no other one is left.

    Args:
        boxes, scores: (D, 4) and (D,), the detections of one class in one image, in any order.
        gt_boxes, is_crowd: (G, 4) and (G,), the ground truth of that class in that image.
        iou_thresholds: (T,) the lowest IoU that counts. A threshold of 1 is used as 1 - 1e-10.
        ignored: (G,) boxes that don't count; by default the crowds.

    Returns:
        (T, D) rows of `gt_boxes`; -1 for a detection without a match.
    """
    ignored = is_crowd if ignored is None else ignored
    iou, matched = overlaps(boxes, gt_boxes, is_crowd), np.full((len(iou_thresholds), len(boxes)), -1)
    for row, threshold in enumerate(np.minimum(iou_thresholds, 1 - 1e-10)):
        is_free = np.ones(len(gt_boxes), bool)
        for detection in np.argsort(-scores, kind="stable"):  # equal scores stay in order
            possible = is_free & (iou[detection] >= threshold)
            if (possible & ~ignored).any():
                possible &= ~ignored
            if possible.any():
                values = np.where(possible, iou[detection], -1)
                best = len(gt_boxes) - 1 - values[::-1].argmax()  # the last of equal ones
                matched[row, detection], is_free[best] = best, is_crowd[best]
    return matched


def precision_recall(is_tp: Bools, num_gt: int) -> tuple[Floats, Floats]:
    """Return precision and recall after the first 1, 2, … D detections, (D,) each.

    Precision is the share of true positives among these detections, recall the share of the objects that they match.

    Args:
        is_tp: (D,) whether each detection is a true positive, the most confident first.
        num_gt: how many objects there are, at least one.
    """
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / num_gt


def average_precision(precision: Floats, recall: Floats) -> float:
    """Return the mean, over recall 0.00, 0.01, … 1.00, of the highest precision at that recall or beyond.

    It is 0 at a recall that is never reached.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(best, 0)[np.searchsorted(recall, RECALLS)].mean())


def coco_map(results: list[Result], dataset: CocoDataset) -> dict[str, float]:
    """Return COCO's twelve numbers: METRICS → value in 0 to 1, or -1 where there is no ground truth."""
    columns = columns_of(results)
    samples = [_samples(columns, dataset, category_id) for category_id in dataset.category_ids]
    table = np.array([[_class_numbers(of_class, *area) for area in AREAS] for of_class in samples])
    ap, recall = table[..., 0], table[..., 1:]  # of table (classes, 4 areas, T, 1 + 3 counts)
    parts = [ap[:, 0], ap[:, 0, 0], ap[:, 0, 5], *(ap[:, area] for area in (1, 2, 3))]
    parts += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    means = [float(part[part >= 0].mean()) if (part >= 0).any() else -1.0 for part in parts]
    return dict(zip(METRICS, means, strict=True))


def _samples(columns: Columns, dataset: CocoDataset, category_id: int) -> list[Sample]:
    """Return one class, image by image in the order of the ids, which also orders detections with equal scores."""
    index, samples = dataset.index, []
    for row in sorted(dataset.rows.tolist(), key=index.image_ids.__getitem__):
        of_image = (columns.image_ids == index.image_ids[row]) & (columns.category_ids == category_id)
        detections = np.flatnonzero(of_image)
        detections = detections[np.argsort(-columns.scores[detections], kind="stable")]
        gt = index.offsets[row] + np.flatnonzero(index.category_ids[index.rows_of(row)] == category_id)
        if len(detections) or len(gt):
            pred = columns.boxes[detections], columns.scores[detections]
            samples.append((*pred, index.boxes[gt], index.is_crowd[gt], index.areas[gt]))  # areas of the outlines
    return samples


def _class_numbers(samples: list[Sample], low: float, high: float) -> Floats:
    """Return (T, 4) AP and the recalls at the three counts, for objects of these areas; -1 if there are none."""
    parts, num_gt = [np.empty((2 + len(IOUS), 0))], 0
    for boxes, scores, gt_boxes, is_crowd, gt_areas in samples:
        ignored, areas = is_crowd | (gt_areas < low) | (gt_areas > high), boxes[:, 2:].prod(axis=1)
        matched = match_detections(boxes, scores, gt_boxes, is_crowd, ignored=ignored)
        outcome = np.append(np.where(ignored, IGNORED, TRUE_POSITIVE), FALSE_POSITIVE)[matched]  # -1 is the last
        outcome[(matched < 0) & ((areas < low) | (areas > high))] = IGNORED
        parts.append(np.vstack([scores, np.arange(len(scores)), outcome]))
        num_gt += int((~ignored).sum())
    scores, ranks, *outcomes = (row for row in np.hstack(parts))
    order = np.argsort(-scores, kind="stable")
    return np.array([_numbers(outcome[order], ranks[order], num_gt) if num_gt else [-1.0] * 4 for outcome in outcomes])


def _numbers(outcome: Floats, ranks: Floats, num_gt: int) -> list[float]:
    counted = [outcome[(outcome != IGNORED) & (ranks < count)] for count in COUNTS]
    curves = [precision_recall(outcome == TRUE_POSITIVE, num_gt) for outcome in counted]
    return [average_precision(*curves[-1]), *(float(recall.max(initial=0)) for _, recall in curves)]
