"""Exercise 9.2: match detections to ground-truth boxes, as COCO does."""

import operator
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from coursekit.data.boxes import xyxy_to_xywh
from coursekit.from_scratch.average_precision import IOUS, match_detections, overlaps
from coursekit.lessons import case_inputs
from coursekit.lessons.exercise import Case, Exercise, Wrong, case

Box = tuple[float, float, float, float]  # xywh
BOX, HALF, MOST = (0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 8)  # IoU with BOX: 1, 0.5, 0.8
ONLY_HALF = np.array([0.5])


def _case(
    words: str, boxes: Sequence[Box], scores: Sequence[float], gt_boxes: Sequence[Box],
    iou_thresholds: Any = ONLY_HALF, *, crowd: bool = False, ignored: Any = None,
) -> Case:  # fmt: skip
    """Return a case with lists as arrays; with `crowd`, the first ground-truth box is one."""
    pred, gt = (np.array(rows, np.float64).reshape(-1, 4) for rows in (boxes, gt_boxes))
    is_crowd = np.arange(len(gt)) == (0 if crowd else -1)
    more = [] if ignored is None else [np.array(ignored)]
    return case(words, pred, np.array(scores, np.float64), gt, is_crowd, iou_thresholds, *more)


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    yield _case("one detection on the object", [BOX], [0.9], [BOX])
    yield _case("one detection next to the object", [(20, 0, 10, 10)], [0.9], [BOX])
    yield _case("an IoU of exactly the threshold", [HALF], [0.9], [BOX], np.array([0.5, 0.55]))
    yield _case("two detections of one object", [BOX, MOST], [0.9, 0.8], [BOX])
    yield _case("the highest score comes second and fits worse", [BOX, MOST], [0.3, 0.8], [BOX])
    yield _case("a second choice: the best object is taken", [BOX, BOX], [0.9, 0.8], [BOX, MOST])
    yield _case("two IoU thresholds", [MOST, BOX], [0.9, 0.8], [BOX], np.array([0.5, 0.9]))
    yield _case("equal scores", [MOST, BOX], [0.5, 0.5], [BOX])
    yield _case("two objects with the same IoU", [BOX], [0.9], [BOX, BOX])
    yield _case("no objects", [BOX, HALF], [0.9, 0.8], [])
    yield _case("no detections", [], [], [BOX])
    crowd = (0, 0, 100, 40)
    yield _case("two detections in one crowd", [BOX, (30, 5, 10, 20)], [0.9, 0.8], [crowd], crowd=True)
    yield _case("an object in front of a crowd", [MOST, BOX], [0.9, 0.8], [crowd, BOX], crowd=True)
    yield _case("an ignored object with a higher IoU", [BOX], [0.9], [BOX, MOST], ignored=[True, False])
    nearly = (0, 0, 10, 10 - 1e-10)  # IoU 1 - 1e-11
    yield _case("a threshold of 1, and a box off by 1e-10 pixels", [nearly], [0.9], [BOX], np.array([1.0]))
    twins = [BOX, (40, 0, 10, 10)]
    yield _case("two detections of two objects, the better one of the second", [BOX, twins[1]], [0.3, 0.9], twins)
    yield _case("a detection without area", [(3, 3, 0, 5)], [0.9], [BOX], np.array([0.0, 0.5]))
    yield _case("scores below 0, such as logits", [MOST, BOX], [-2.0, -1.0], [BOX])
    yield _case(
        "an ignored object and another one, both free, two detections",
        [BOX, BOX],
        [0.9, 0.8],
        [BOX, MOST],
        ignored=[True, False],
    )
    yield _case("a second choice among three objects", [BOX, BOX, BOX], [0.9, 0.8, 0.7], [HALF, BOX, MOST])
    yield _case("neither detections nor objects", [], [], [])
    yield _case("two detections of one ignored object", [BOX, BOX], [0.9, 0.8], [BOX], ignored=[True])
    for objects, each in ((3, 3), (8, 5)):
        boxes, scores = case_inputs.clusters(generator, objects, each)
        gt_boxes = case_inputs.clusters(generator, objects, 1)[0]
        gt_boxes[: objects - 1] = boxes[: (objects - 1) * each : each] + 1.5
        boxes = boxes[torch.randperm(len(boxes), generator=generator)]
        words = f"{len(boxes)} detections, COCO's ten thresholds"
        arrays = (tensor.double().numpy() for tensor in (xyxy_to_xywh(boxes), scores, xyxy_to_xywh(gt_boxes)))
        yield case(words, *arrays, np.arange(objects) == 0)
    boxes, scores = case_inputs.clusters(
        generator, 2, 20
    )  # so many that only a stable sort keeps equal scores in order
    pred, rounded = xyxy_to_xywh(boxes).double().numpy(), scores.double().numpy().round(1).clip(0.4, 0.6)
    yield case("40 detections, many with equal scores", pred, rounded, pred[::5].copy(), np.zeros(8, bool), ONLY_HALF)


# Wrong answers. `_match` is right as long as its options are left alone.


def _best_first(scores):
    return np.argsort(-scores, kind="stable")


def _last_argmax(values):
    return len(values) - 1 - values[::-1].argmax()


def _match(
    boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None,
    *, order=_best_first, iou=overlaps, enough=operator.ge, epsilon=1e-10, reset=True, second_choice=True,
    prefer=True, argmax=_last_argmax, stays_free=lambda is_crowd, ignored: is_crowd,
):  # fmt: skip
    ignored = is_crowd if ignored is None else ignored
    ious, matched = iou(boxes, gt_boxes, is_crowd), np.full((len(iou_thresholds), len(boxes)), -1)
    is_free, remains = np.ones(len(gt_boxes), bool), stays_free(is_crowd, ignored)
    for row, threshold in enumerate(np.minimum(iou_thresholds, 1 - epsilon)):
        is_free = np.ones(len(gt_boxes), bool) if reset else is_free
        for n in order(scores):
            possible = enough(ious[n], threshold)
            if second_choice:
                possible &= is_free
            if prefer and (possible & ~ignored).any():
                possible &= ~ignored
            if possible.any():
                best = argmax(np.where(possible, ious[n], -1))
                if is_free[best]:
                    matched[row, n], is_free[best] = best, remains[best]
    return matched


def _changed(words="", **options):
    return Wrong(partial(_match, **options), words)


def in_the_order_given(*args):
    return _match(*args, order=lambda scores: range(len(scores)))


def found_several_times(*args):
    return _match(*args, stays_free=lambda is_crowd, ignored: np.ones_like(is_crowd))


def crowd_found_once(*args):
    return _match(*args, stays_free=lambda is_crowd, ignored: np.zeros_like(is_crowd))


def ignored_not_used(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    return _match(boxes, scores, gt_boxes, is_crowd, iou_thresholds)


def in_order_of_scores(boxes, scores, *args):
    return _match(boxes, scores, *args)[:, _best_first(scores)]


def best_detection_of_each_object(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    ious = overlaps(boxes, gt_boxes, is_crowd)
    matched = np.full((len(iou_thresholds), len(boxes)), -1)
    for row, threshold in enumerate(iou_thresholds):
        for g in range(len(gt_boxes) if len(boxes) else 0):
            best = ious[:, g].argmax()
            if ious[best, g] >= threshold:
                matched[row, best] = g
    return matched


def best_object_taken_or_not(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    ious = overlaps(boxes, gt_boxes, is_crowd)
    matched = np.full((len(iou_thresholds), len(boxes)), -1)
    if len(gt_boxes):
        for row, threshold in enumerate(iou_thresholds):
            good = ious.max(axis=1) >= threshold
            matched[row, good] = ious.argmax(axis=1)[good]
    return matched


def sorts_scores_in_place(boxes, scores, *args):
    matched = _match(boxes, scores, *args)
    scores.sort()
    return matched


def transposed(*args):
    return _match(*args).T


def ignored_never_taken(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    off = is_crowd if ignored is None else ignored
    keep = np.flatnonzero(~off)
    matched = _match(boxes, scores, gt_boxes[keep], is_crowd[keep], iou_thresholds, off[keep])
    return np.where(matched < 0, -1, keep[matched] if len(keep) else -1)


def floats(*args):
    return _match(*args).astype(float)


def a_list(*args):
    return _match(*args).tolist()


def zero_without_match(*args):
    return np.maximum(_match(*args), 0)


def only_the_first_threshold(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    return _match(boxes, scores, gt_boxes, is_crowd, iou_thresholds[:1], ignored)


def fails_without_objects(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    if not len(gt_boxes) and len(boxes):
        raise ValueError("attempt to get argmax of an empty sequence")
    return _match(boxes, scores, gt_boxes, is_crowd, iou_thresholds, ignored)


def true_or_false(*args):
    return _match(*args) >= 0


# Other right answers.


def with_plain_lists(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    ious = overlaps(boxes, gt_boxes, is_crowd).tolist()
    matched = np.full((len(iou_thresholds), len(boxes)), -1)
    for row, threshold in enumerate(iou_thresholds):
        taken = set()
        for n in sorted(range(len(boxes)), key=lambda n: -scores[n]):
            possible = [g for g in range(len(gt_boxes)) if g not in taken and ious[n][g] >= min(threshold, 1 - 1e-10)]
            possible = [g for g in possible if not ignored[g]] or possible
            if possible:
                matched[row, n] = max(possible, key=lambda g: (ious[n][g], g))
                taken |= {matched[row, n]} - set(np.flatnonzero(is_crowd))
    return matched


def as_in_pycocotools(boxes, scores, gt_boxes, is_crowd, iou_thresholds=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    ious, matched = overlaps(boxes, gt_boxes, is_crowd), np.full((len(iou_thresholds), len(boxes)), -1)
    for row, threshold in enumerate(iou_thresholds):
        taken = np.zeros(len(gt_boxes), bool)
        for n in np.argsort(-scores, kind="stable"):
            best, best_iou = -1, min(threshold, 1 - 1e-10)
            for g in np.argsort(ignored, kind="stable"):  # those that count come first
                if taken[g] and not is_crowd[g]:
                    continue
                if best > -1 and not ignored[best] and ignored[g]:
                    break
                if ious[n, g] >= best_iou:
                    best, best_iou = g, ious[n, g]
            if best > -1:
                matched[row, n], taken[best] = best, True
    return matched


EXERCISE = Exercise(
    "match_detections",
    lesson=9,
    minutes=30,
    reference=match_detections,
    cases=cases,
    hints=(
        "“Too many detections have a match.” An object that is taken can't be taken again. Keep an array of what is free, and "
        "start a new one for each IoU threshold.",
        "For each threshold, everything is free at first. Go through the detections by falling score: np.argsort of the negative "
        "scores, kind='stable'. Possible is what is free and has enough IoU. If anything possible is not ignored, the ignored "
        "objects are no longer possible.",
        "possible = is_free & (iou[n] >= threshold); if (possible & ~ignored).any(): possible &= ~ignored. Of what is left, take "
        "the last object with the highest IoU; then is_free[best] = is_crowd[best].",
    ),
    wrong=(
        Wrong(in_the_order_given, "detections choose in the order given, not by score"),
        _changed("the lowest score chooses first", order=lambda scores: np.argsort(scores, kind="stable")),
        _changed("of equal scores, the last one chooses first", order=lambda scores: np.argsort(scores)[::-1]),
        _changed(
            "the order of equal scores is left to chance: np.argsort is stable only with kind='stable'",
            order=lambda scores: np.argsort(-scores),
        ),
        Wrong(found_several_times, "an object can be matched several times"),
        _changed("an IoU of exactly the threshold is not enough", enough=operator.gt),
        _changed("there is no second choice: if the best object is taken, there is no match", second_choice=False),
        _changed("what is taken at one threshold stays taken at the next", reset=False),
        _changed("of objects with the same IoU, the first is taken: COCO takes the last", argmax=np.argmax),
        Wrong(crowd_found_once, "a crowd can be matched only once"),
        _changed(
            "the overlap with a crowd is an IoU: divide by the area of the detection alone",
            iou=lambda boxes, gt_boxes, is_crowd: overlaps(boxes, gt_boxes, np.zeros_like(is_crowd)),
        ),
        _changed("ignored objects, such as crowds, are taken although another one is possible", prefer=False),
        _changed(
            "ignored objects are taken although another one is possible, and of objects with the same IoU the first",
            prefer=False,
            argmax=np.argmax,
        ),
        Wrong(ignored_not_used, "`ignored` is not used: only crowds give way to other objects"),
        _changed("a threshold of 1 is not lowered by 1e-10, so rounding errors matter", epsilon=0.0),
        _changed(
            "ignored objects can be matched several times: only crowds can",
            stays_free=lambda is_crowd, ignored: is_crowd | ignored,
        ),
        Wrong(in_order_of_scores, "the columns are in the order of the scores, not of the detections given"),
        Wrong(
            best_detection_of_each_object, "each object takes the detection with the highest IoU, whatever the scores"
        ),
        Wrong(transposed, "rows and columns are swapped: there is a row for each threshold"),
        Wrong(ignored_never_taken, "ignored objects, such as crowds, are never taken"),
        Wrong(floats, "the matches are floats, not int64"),
        Wrong(a_list, "it returns a list, not an array"),
        Wrong(zero_without_match, "a detection without a match has 0, which is the first object: it should be -1"),
        Wrong(only_the_first_threshold, "there is a row for the first threshold only"),
        Wrong(fails_without_objects, "it fails if there are no objects"),
        Wrong(best_object_taken_or_not, "each detection takes its best object, taken or not"),
        Wrong(true_or_false, "it returns true or false, not the rows of objects"),
        Wrong(sorts_scores_in_place),
        _changed(order=lambda scores: range(len(scores)), argmax=np.argmax, epsilon=0.0),
        _changed(second_choice=False, prefer=False, epsilon=0.0),
        _changed(enough=operator.gt, epsilon=0.0),
        _changed(stays_free=lambda is_crowd, ignored: np.zeros_like(is_crowd), prefer=False),
    ),
    right=(with_plain_lists, as_in_pycocotools),
)
