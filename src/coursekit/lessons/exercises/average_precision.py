"""Exercise 9.4: compute COCO's average precision from one precision–recall curve."""

from collections.abc import Iterator

import numpy as np
import torch

from coursekit.from_scratch.average_precision import average_precision, precision_recall
from coursekit.lessons.exercise import Case, Exercise, Wrong, case

RECALLS = np.linspace(0, 1, 101)


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    for words, is_tp, num_gt in (
        ("one true positive, the only object", [1], 1),
        ("one false positive", [0], 1),
        ("one true positive, two objects", [1], 2),
        ("true, false, true positive; two objects: precision rises again", [1, 0, 1], 2),
        ("false, true positive", [0, 1], 1),
        ("no detections", [], 1),
    ):
        yield case(words, *precision_recall(np.array(is_tp, bool), num_gt))
    yield case("recall exactly at the hundredths", np.linspace(1, 0.5, 10), np.arange(1, 11) / 10)
    yield case("a recall below a hundredth", *precision_recall(np.array([True]), 150))
    late = np.zeros(3000, bool)
    late[[0, 2000]] = True
    yield case("the second true positive after 2000 false ones", *precision_recall(late, 2))
    all_true = np.ones(100, bool)
    yield case("a hundred true positives: a precision of 1 at every recall", *precision_recall(all_true, 100))
    yield case("only false positives", *precision_recall(np.zeros(3, bool), 4))
    for count in (9, 60):
        drawn = (torch.rand(count, generator=generator) < 0.6).numpy()
        yield case(f"{count} detections", *precision_recall(drawn, count))


# Wrong answers.


def _filled(precision):
    return np.maximum.accumulate(precision[::-1])[::-1]


def _mean_at(recalls, precision, recall, side="left"):
    return float(np.append(precision, 0)[np.searchsorted(recall, recalls, side)].mean())


def not_filled(precision, recall):
    return _mean_at(RECALLS, precision, recall)


def filled_from_the_left(precision, recall):
    return _mean_at(RECALLS, np.maximum.accumulate(precision), recall)


def eleven_points(precision, recall):
    return _mean_at(np.linspace(0, 1, 11), _filled(precision), recall)


def hundred_points(precision, recall):
    return _mean_at(RECALLS[1:], _filled(precision), recall)


def just_reached_is_too_little(precision, recall):
    return _mean_at(RECALLS, _filled(precision), recall, "right")


def trapezoids(precision, recall):
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def filled_trapezoids(precision, recall):
    return trapezoids(_filled(precision), recall)


def steps(precision, recall):
    return float((precision * np.diff(recall, prepend=0)).sum())


def filled_steps(precision, recall):
    return steps(_filled(precision), recall)


def mean_precision(precision, recall):
    return float(precision.mean()) if len(precision) else 0.0


def mean_of_what_is_reached(precision, recall):
    values = [precision[recall >= point].max() for point in RECALLS if (recall >= point).any()]
    return float(np.mean(values)) if values else 0.0


def rounded_recalls(precision, recall):
    return _mean_at(np.arange(0, 1, 0.01), _filled(precision), recall)


def a_tensor_of_points(precision, recall):
    return np.append(_filled(precision), 0)[np.searchsorted(recall, RECALLS)]


def divided_by_100(precision, recall):
    return _mean_at(RECALLS, _filled(precision), recall) * 1.01


def in_percent(precision, recall):
    return 100 * _mean_at(RECALLS, _filled(precision), recall)


def interpolated(precision, recall):
    if not len(recall):
        return 0.0
    return float(np.interp(RECALLS, recall, _filled(precision), right=0).mean())


def last_precision_beyond_the_end(precision, recall):
    if not len(recall):
        return 0.0
    best = _filled(precision)
    return float(best[np.searchsorted(recall, RECALLS).clip(max=len(best) - 1)].mean())


def fills_in_place(precision, recall):
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return _mean_at(RECALLS, precision, recall)


def highest_precision(precision, recall):
    return float(precision.max(initial=0))


def fails_without_detections(precision, recall):
    return float(np.mean([precision[recall >= point].max(initial=0 * precision[-1]) for point in RECALLS]))


# Another right answer.


def point_by_point(precision, recall):
    return float(np.mean([precision[recall >= point].max(initial=0) for point in RECALLS]))


def with_a_running_maximum(precision, recall):
    points, best, total = [n / 100 for n in range(101)], 0.0, 0.0
    place = len(recall) - 1
    for point in reversed(np.linspace(0, 1, len(points)).tolist()):
        while place >= 0 and recall[place] >= point:
            best = max(best, float(precision[place]))
            place -= 1
        total += best
    return np.float64(total / len(points))


EXERCISE = Exercise(
    "average_precision",
    lesson=9,
    minutes=20,
    reference=average_precision,
    cases=cases,
    library=("sklearn.metrics.average_precision_score",),
    hints=(
        "“A little too low.” Precision may rise again further down the list. At each recall, COCO takes the highest precision at "
        "that recall *or beyond*: go through precision from the right.",
        "“A little too high.” What counts at a recall that is never reached: 0, or is it left out of the mean? And how many "
        "points are there from 0.00 to 1.00?",
        "“Nearly there.” best = np.maximum.accumulate(precision[::-1])[::-1]; np.searchsorted(recall, np.linspace(0, 1, 101)) is "
        "the first index that reaches each recall, or len(recall). So append a 0 to best, index it, and take the mean.",
    ),
    wrong=(
        Wrong(not_filled, "the precision at each recall, not the highest there or beyond"),
        Wrong(filled_from_the_left, "the highest precision so far, not from there on: accumulated from the wrong end"),
        Wrong(eleven_points, "11 recalls, as in PASCAL VOC until 2009: COCO takes 101"),
        Wrong(hundred_points, "recall 0 is left out: 0.00, 0.01, … 1.00 are 101 points"),
        Wrong(trapezoids, "the area under the raw curve, by trapezoids: not the filled curve at 101 points"),
        Wrong(filled_trapezoids, "the area under the filled curve, by trapezoids: not the mean at 101 points"),
        Wrong(steps, "the area under the raw steps: not the filled curve at 101 points"),
        Wrong(filled_steps, "the area under the filled steps: not the mean at 101 points"),
        Wrong(
            just_reached_is_too_little, "a recall that is just reached counts as not reached: searchsorted to the right"
        ),
        Wrong(mean_precision, "the mean of the precisions, as if recall rose evenly"),
        Wrong(mean_of_what_is_reached, "recalls that are never reached are left out: they count as 0"),
        Wrong(fails_without_detections, "it fails without detections"),
        Wrong(rounded_recalls, "recall 1 is left out: 0.00, 0.01, … 1.00 are 101 points"),
        Wrong(a_tensor_of_points, "it returns the precision at each of the 101 recalls: return their mean"),
        Wrong(divided_by_100, "the sum is divided by 100: there are 101 points"),
        Wrong(in_percent, "the number is in percent: it should be between 0 and 1"),
        Wrong(interpolated, "precision is interpolated between detections: take the highest there or beyond"),
        Wrong(last_precision_beyond_the_end, "recalls that are never reached have the last precision: they count as 0"),
        Wrong(fills_in_place, "the caller's precision is changed"),
        Wrong(highest_precision, "the highest precision of all, whatever the recall"),
    ),
    right=(point_by_point, with_a_running_maximum),
)
