"""Wrong answers that people really give to `average_precision`; those named `right_…` must pass."""

import numpy as np


def wrong_without_the_envelope(precision, recall):
    padded = np.append(precision, 0)
    return float(padded[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def wrong_area_by_trapezoids(precision, recall):
    if not len(precision):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.trapezoid(best, recall)) if hasattr(np, "trapezoid") else float(np.trapz(best, recall))


def wrong_area_under_the_raw_curve(precision, recall):
    return float(np.trapezoid(precision, recall)) if hasattr(np, "trapezoid") else float(np.trapz(precision, recall))


def wrong_eleven_points(precision, recall):
    values = [precision[recall >= point].max(initial=0) for point in np.linspace(0, 1, 11)]
    return float(np.mean(values))


def wrong_mean_over_what_was_reached(precision, recall):
    points = [point for point in np.linspace(0, 1, 101) if (recall >= point).any()]
    return float(np.mean([precision[recall >= point].max() for point in points])) if points else 0.0


def wrong_just_reached_is_not_reached(precision, recall):
    values = [precision[recall > point].max(initial=0) for point in np.linspace(0, 1, 101)]
    return float(np.mean(values))


def wrong_fails_without_detections(precision, recall):
    values = [precision[recall >= point].max(initial=precision[-1] * 0) for point in np.linspace(0, 1, 101)]
    return float(np.mean(values))


def wrong_envelope_from_the_left(precision, recall):
    best = np.append(np.maximum.accumulate(precision), 0)
    return float(best[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def right_point_by_point(precision, recall):
    values = [precision[recall >= point].max(initial=0) for point in np.linspace(0, 1, 101)]
    return float(np.mean(values))
