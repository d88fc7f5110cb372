"""Exercise 9.3: compute precision and recall after each detection."""

from collections.abc import Iterator

import numpy as np
import torch

from coursekit.from_scratch.average_precision import precision_recall
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    for words, is_tp, num_gt in (
        ("one true positive, the only object", [1], 1),
        ("one false positive", [0], 1),
        ("true, false, true positive; four objects", [1, 0, 1], 4),
        ("false, false, true positive; one object", [0, 0, 1], 1),
        ("no detections", [], 3),
        ("only true positives", [1, 1, 1], 3),
    ):
        yield case(words, np.array(is_tp, bool), num_gt)
    yield case("false positives only", np.zeros(3, bool), 2)
    yield case("300 detections, nearly all true", (torch.rand(300, generator=generator) < 0.95).numpy(), 400)
    yield case("30 detections", (torch.rand(30, generator=generator) < 0.6).numpy(), 25)


# Wrong answers.


def divided_by_all_detections(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / max(1, len(tp)), tp / num_gt


def divided_by_all_matches(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / max(1, is_tp.sum())


def recall_first(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / num_gt, tp / np.arange(1, len(tp) + 1)


def counted_from_0(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / np.maximum(1, np.arange(len(tp))), tp / num_gt


def counted_from_almost_0(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / (np.arange(len(tp)) + 1e-9), tp / num_gt


def with_a_first_point(is_tp, num_gt):
    tp = is_tp.cumsum()
    return np.append(1.0, tp / np.arange(1, len(tp) + 1)), np.append(0.0, tp / num_gt)


def single_numbers(is_tp, num_gt):
    return float(is_tp.mean()) if len(is_tp) else 0.0, float(is_tp.sum() / num_gt)


def lowest_score_first(is_tp, num_gt):
    tp = is_tp[::-1].cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / num_gt


def highest_precision_beyond(is_tp, num_gt):
    tp = is_tp.cumsum()
    precision = tp / np.arange(1, len(tp) + 1)
    return np.maximum.accumulate(precision[::-1])[::-1], tp / num_gt


def no_cumsum(is_tp, num_gt):
    return is_tp / np.arange(1, len(is_tp) + 1), is_tp / num_gt


def with_an_eps(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / (np.arange(1, len(tp) + 1) + 1e-3), tp / (num_gt + 1e-3)


def in_uint8(is_tp, num_gt):
    tp = is_tp.astype(np.uint8).cumsum(dtype=np.uint8)
    return tp / np.arange(1, len(tp) + 1), tp / num_gt


def in_percent(is_tp, num_gt):
    tp = is_tp.cumsum()
    return 100 * tp / np.arange(1, len(tp) + 1), 100 * tp / num_gt


def whole_numbers(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp // np.arange(1, len(tp) + 1), tp // num_gt


def recall_of_what_is_left(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), 1 - tp / num_gt


def false_positives(is_tp, num_gt):
    fp = (~is_tp).cumsum()
    return fp / np.arange(1, len(fp) + 1), fp / num_gt


def lists(is_tp, num_gt):
    tp = is_tp.cumsum()
    return (tp / np.arange(1, len(tp) + 1)).tolist(), (tp / num_gt).tolist()


def recall_by_detections(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / max(1, len(tp))


def one_array(is_tp, num_gt):
    tp = is_tp.cumsum()
    return np.stack([tp / np.arange(1, len(tp) + 1), tp / num_gt])


def fails_without_detections(is_tp, num_gt):
    tp = is_tp.cumsum()
    return tp / np.arange(1, len(tp) + 1), tp / num_gt * (tp[-1] >= 0)


# Other right answers.


def in_a_loop(is_tp, num_gt):
    precision, recall, tp = [], [], 0
    for count, is_true in enumerate(is_tp, 1):
        tp += bool(is_true)
        precision.append(tp / count)
        recall.append(tp / num_gt)
    return np.array(precision, float), np.array(recall, float)


def with_floats(is_tp, num_gt):
    tp = is_tp.astype(float).cumsum()
    return tp / (1 + np.arange(len(tp))), tp / num_gt


EXERCISE = Exercise(
    "precision_recall",
    lesson=9,
    minutes=10,
    reference=precision_recall,
    cases=cases,
    results=("precision", "recall"),
    hints=(
        "“I return a single number.” Both are curves: one value after the first detection, one after the second, and so on.",
        "is_tp.cumsum() counts the true positives among the first 1, 2, … detections. What is it divided by for precision, and "
        "what for recall?",
        "tp = is_tp.cumsum(); precision is tp / np.arange(1, len(tp) + 1), recall is tp / num_gt.",
    ),
    wrong=(
        Wrong(divided_by_all_detections, "precision is divided by all detections, not by those so far"),
        Wrong(divided_by_all_matches, "recall is divided by the number of true positives, not by num_gt"),
        Wrong(recall_first, "recall comes first"),
        Wrong(counted_from_0, "precision is divided by 0, 1, 2, … instead of 1, 2, 3, …"),
        Wrong(with_a_first_point, "there is an extra point at the start: return one for each detection"),
        Wrong(single_numbers, "only the last point of the curve"),
        Wrong(lowest_score_first, "the lowest score comes first"),
        Wrong(highest_precision_beyond, "precision never rises: average_precision does that later"),
        Wrong(with_an_eps, "a small number is added below the line: not needed, since neither count can be 0"),
        Wrong(in_percent, "the numbers are in percent: they should be between 0 and 1"),
        Wrong(whole_numbers, "// drops the fraction: the numbers are 0 or 1"),
        Wrong(false_positives, "false positives are counted instead of true ones"),
        Wrong(lists, "they are lists, not arrays"),
        Wrong(recall_by_detections, "recall is divided by the number of detections, not by num_gt"),
        Wrong(no_cumsum, "the true positives are not counted up: cumsum is missing"),
        Wrong(one_array, "both are in one array: return two"),
        Wrong(fails_without_detections, "it fails without detections"),
        Wrong(counted_from_almost_0),
        Wrong(in_uint8, "the count is in uint8, which ends at 255"),
        Wrong(recall_of_what_is_left),
    ),
    right=(in_a_loop, with_floats),
)
