"""09 · Evaluation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from coursekit.evaluation.average_precision import RECALLS, average_precision, precision_recall
from coursekit.lessons.exercise import Case, Exercise, Mistake, case

Floats = Any  # NumPy arrays of float64


def _curve(hits: list[int], objects: int) -> tuple[Floats, Floats]:
    return precision_recall(np.array(hits, bool), objects)


def _ap_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one detection, right, the only object", *_curve([1], 1))
    yield case("one detection, wrong", *_curve([0], 1))
    yield case("one right, two objects", *_curve([1], 2))
    yield case("right, wrong, right; two objects: precision rises again", *_curve([1, 0, 1], 2))
    yield case("wrong, right", *_curve([0, 1], 1))
    yield case("no detection at all", np.empty(0), np.empty(0))
    yield case("recall just at the hundredths", np.linspace(1, 0.5, 10), np.arange(1, 11) / 10)
    yield case("a recall of less than a hundredth", *_curve([1], 150))
    yield case("all wrong", *_curve([0, 0, 0], 4))
    for count in (9, 60):
        hits = (torch.rand(count, generator=generator) < 0.6).tolist()
        yield case(f"{count} detections", *_curve(hits, count))


def _no_envelope(precision: Floats, recall: Floats) -> float:
    return float(np.append(precision, 0)[np.searchsorted(recall, RECALLS)].mean())


def _envelope_left(precision: Floats, recall: Floats) -> float:
    best = np.maximum.accumulate(precision)
    return float(np.append(best, 0)[np.searchsorted(recall, RECALLS)].mean())


def _eleven(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, np.linspace(0, 1, 11))].mean())


def _hundred(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, RECALLS[1:])].mean())


def _area(precision: Floats, recall: Floats) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.diff(recall, prepend=0)).sum())


def _right_side(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, RECALLS, side="right")].mean())


def _mean(precision: Floats, recall: Floats) -> float:
    return float(precision.mean()) if len(precision) else 0.0


def _reached_only(precision: Floats, recall: Floats) -> float:
    if not len(recall):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS)
    return float(best[places[places < len(best)]].mean())


def _never_empty(precision: Floats, recall: Floats) -> float:
    if not len(precision):
        raise IndexError("index 0 is out of bounds for axis 0 with size 0")
    return average_precision(precision, recall)


AP = Exercise(
    "average_precision",
    lesson=9,
    minutes=20,
    reference=average_precision,
    cases=_ap_cases,
    library=("sklearn.metrics.average_precision_score",),
    hints=(
        "“A little too low.” Precision may rise again further down the list. At a recall of r COCO takes the best precision "
        "there *or beyond*: go through it from the right.",
        "“A little too high.” What counts where the curve never gets: nothing at all (0), or is it left out of the mean? And "
        "how many points are there from 0.00 to 1.00?",
        "“Nearly there.” best = np.maximum.accumulate(precision[::-1])[::-1]; where = np.searchsorted(recall, np.linspace(0, "
        "1, 101)) is the first place that reaches each recall, or len(recall); so put a 0 at the end of best, look up, and "
        "take the mean.",
    ),
    mistakes=(
        Mistake("precision at the recall, not the best there or beyond", _no_envelope),
        Mistake(
            "the best precision so far, not the best from there on: accumulated from the wrong end", _envelope_left
        ),
        Mistake("11 points of recall, as PASCAL had it until 2009; COCO takes 101", _eleven),
        Mistake("a recall of 0 is left out: 0.00, 0.01, … 1.00 are 101 points", _hundred),
        Mistake("the area under the steps, not the mean at 101 points", _area),
        Mistake("a recall just reached counts as not reached: searchsorted to the right", _right_side),
        Mistake("the mean precision, as if recall were evenly spread", _mean),
        Mistake("recalls that are never reached are left out, where they count as 0", _reached_only),
        Mistake("it fails where there is no detection", _never_empty),
    ),
)

EXERCISES = (AP,)
