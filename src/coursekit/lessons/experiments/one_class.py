"""Precision and recall of one class over all images, with the functions that lesson 09's reader writes."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.evaluation import Result
from coursekit.from_scratch import average_precision as ours

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Records = list[dict[str, Any]]
Match = Callable[..., Any]
MOST_SHOWN = 20


def outcomes_of_class(
    results: list[Result],
    dataset: CocoDataset,
    category_id: int,
    iou_threshold: float = 0.5,
    *,
    match_detections: Match = ours.match_detections,
) -> tuple[Floats, Bools, int]:
    """Match the detections of a class, each in its own image, and put them in one list, best score first.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        category_id: of the class.
        iou_threshold: from which overlap on a detection can be a true positive.
        match_detections: the function to use, such as your own.

    Returns:
        The scores (D,), and whether each is a true positive (D,), without detections on crowds; and the number of
        objects.
    """
    found = [record for record in results if record["category_id"] == category_id]
    truth = [record for record in dataset.ground_truth()["annotations"] if record["category_id"] == category_id]
    pred, gt = _by_image(found), _by_image(truth)
    scores, is_tp, num_gt = [np.empty(0)], [np.empty(0, bool)], 0
    for image_id in dataset.image_ids:
        boxes, gt_boxes = (_boxes(records.get(image_id, [])) for records in (pred, gt))
        crowd = np.array([record["iscrowd"] for record in gt.get(image_id, [])], bool)
        here = np.array([record["score"] for record in pred.get(image_id, [])])
        partners = match_detections(boxes, here, gt_boxes, crowd, np.array([iou_threshold]))[0]
        counts = ~np.append(crowd, False)[partners]  # a partner of -1 is the last: no crowd
        scores.append(here[counts])
        is_tp.append(partners[counts] >= 0)
        num_gt += int((~crowd).sum())
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    return all_scores[order], np.concatenate(is_tp)[order], num_gt


def best_found_class(results: list[Result], dataset: CocoDataset) -> tuple[int, str]:
    """Return the category id and the name of the class with the most true positives at IoU 0.5."""
    best = max(dataset.category_ids, key=lambda id_: int(outcomes_of_class(results, dataset, id_)[1].sum()))
    return best, _name(dataset, best)


def compare_iou_thresholds(
    results: list[Result],
    dataset: CocoDataset,
    category_id: int,
    iou_thresholds: Iterable[float],
    parts: tuple[Match, Match, Match] = (ours.match_detections, ours.precision_recall, ours.average_precision),
) -> None:
    """Show the curves of one class at several IoU thresholds.

    Args:
        results, dataset, category_id: see `outcomes_of_class`.
        iou_thresholds: at most five.
        parts: `match_detections`, `precision_recall` and `average_precision`, such as your own.
    """
    curves, (match_detections, precision_recall, average_precision) = {}, parts
    for threshold in iou_thresholds:
        of_class = outcomes_of_class(results, dataset, category_id, threshold, match_detections=match_detections)
        precision, recall = precision_recall(of_class[1], max(1, of_class[2]))
        curves[threshold] = precision, recall, average_precision(precision, recall)
    show.curves_by_iou(curves, _name(dataset, category_id))


def compare_classes(results: list[Result], dataset: CocoDataset, train_set: CocoDataset) -> float:
    """Show AP50 of each class, and print how often the best and the worst class are in the training set.

    Returns:
        How far the best and the worst class are apart.
    """
    by_class = ap50_by_class(results, dataset)
    ranked = sorted(by_class, key=lambda name: by_class[name][0])
    shown = ranked if len(ranked) <= MOST_SHOWN else ranked[: MOST_SHOWN // 2] + ranked[-MOST_SHOWN // 2 :]
    show.class_bars({f"{name} ({by_class[name][1]})": by_class[name][0] for name in shown}, "AP50 (number of objects)")
    boxes_of = [record["category_id"] for record in train_set.ground_truth()["annotations"]]
    for name in (ranked[-1], ranked[0]):
        often = boxes_of.count(dataset.category_ids[dataset.classes.index(name)])
        print(f"{name}: AP50 {by_class[name][0]:.2f}, {often} boxes in the training set")
    absent = [name for name in dataset.classes if name not in by_class]
    print(f"no object in these images: {', '.join(absent[:6]) or 'none'}{' …' if len(absent) > 6 else ''}")
    return by_class[ranked[-1]][0] - by_class[ranked[0]][0]


def ap50_by_class(results: list[Result], dataset: CocoDataset) -> dict[str, tuple[float, int]]:
    """Return AP50 and the number of objects of each class that the images show."""
    by_class = {}
    for category_id, name in zip(dataset.category_ids, dataset.classes, strict=True):
        _, is_tp, num_gt = outcomes_of_class(results, dataset, category_id)
        if num_gt:
            by_class[name] = ours.average_precision(*ours.precision_recall(is_tp, num_gt)), num_gt
    return by_class


def _name(dataset: CocoDataset, category_id: int) -> str:
    return dataset.classes[dataset.category_ids.index(category_id)]


def _by_image(records: Iterable[Any]) -> dict[int, Records]:
    groups: dict[int, Records] = {}
    for record in records:
        groups.setdefault(record["image_id"], []).append(record)
    return groups


def _boxes(records: Records) -> Floats:
    return np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4)
