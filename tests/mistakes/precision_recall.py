"""Wrong answers that people really give to `precision_recall`; those named `right_…` must pass."""

import numpy as np


def wrong_divides_by_all_detections(is_right, objects):
    right = np.cumsum(is_right)
    return right / max(1, len(is_right)), right / objects


def wrong_recall_of_what_was_found(is_right, objects):
    right = np.cumsum(is_right)
    return right / np.arange(1, len(right) + 1), right / max(1, right[-1] if len(right) else 1)


def wrong_single_numbers(is_right, objects):
    return float(is_right.mean()) if len(is_right) else 0.0, float(is_right.sum() / objects)


def wrong_recall_first(is_right, objects):
    right = np.cumsum(is_right)
    return right / objects, right / np.arange(1, len(right) + 1)


def wrong_counts_from_nought(is_right, objects):
    right = np.cumsum(is_right)
    return right / (np.arange(len(right)) + 1e-9), right / objects


def wrong_no_running_total(is_right, objects):
    return is_right / np.arange(1, len(is_right) + 1), is_right / objects


def wrong_stacked_into_one_array(is_right, objects):
    right = np.cumsum(is_right)
    return np.stack([right / np.arange(1, len(right) + 1), right / objects])


def wrong_fails_where_nothing_was_found(is_right, objects):
    right = np.cumsum(is_right)
    return right / np.arange(1, len(right) + 1), right / objects * (right[-1] >= 0)


def right_by_a_loop(is_right, objects):
    precision, recall, right = [], [], 0
    for count, one in enumerate(is_right, 1):
        right += bool(one)
        precision.append(right / count)
        recall.append(right / objects)
    return np.array(precision, float), np.array(recall, float)


def right_by_means(is_right, objects):
    hits = is_right.astype(float)
    return hits.cumsum() / (1 + np.arange(len(hits))), hits.cumsum() / objects
