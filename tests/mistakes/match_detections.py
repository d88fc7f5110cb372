"""Wrong answers that people really give to `match_detections`; those named `right_…` must pass."""

import numpy as np

from coursekit.from_scratch.average_precision import IOUS, overlaps


def wrong_takes_what_is_taken(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    overlap = overlaps(boxes, truth, is_crowd)
    matched = np.full((len(ious), len(boxes)), -1)
    if len(truth):
        for row, least in enumerate(ious):
            good = overlap.max(axis=1) >= least
            matched[row, good] = overlap.argmax(axis=1)[good]
    return matched


def wrong_in_the_order_given(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        free = np.ones(len(truth), bool)
        for one in range(len(boxes)):
            possible = free & (overlap[one] >= least)
            possible = possible & ~ignored if (possible & ~ignored).any() else possible
            if possible.any():
                best = np.flatnonzero(possible)[overlap[one][possible].argmax()]
                matched[row, one], free[best] = best, is_crowd[best]
    return matched


def wrong_only_the_best_object(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        taken = set()
        for one in np.argsort(-scores, kind="stable"):
            if len(truth):
                best = len(truth) - 1 - overlap[one][::-1].argmax()
                if overlap[one, best] >= least and best not in taken:
                    matched[row, one] = best
                    if not is_crowd[best]:
                        taken.add(best)
    return matched


def wrong_more_than_the_least(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        free = np.ones(len(truth), bool)
        for one in np.argsort(-scores, kind="stable"):
            possible = free & (overlap[one] > least)
            possible = possible & ~ignored if (possible & ~ignored).any() else possible
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()
                matched[row, one], free[best] = best, is_crowd[best]
    return matched


def wrong_crowd_as_an_object(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(np.minimum(ious, 1 - 1e-10)):
        free = np.ones(len(truth), bool)
        for one in np.argsort(-scores, kind="stable"):
            possible = free & (overlap[one] >= least)
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()
                matched[row, one], free[best] = best, False
    return matched


def wrong_one_list_for_all_overlaps(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    free = np.ones(len(truth), bool)
    for row, least in enumerate(np.minimum(ious, 1 - 1e-10)):
        for one in np.argsort(-scores, kind="stable"):
            possible = free & (overlap[one] >= least)
            possible = possible & ~ignored if (possible & ~ignored).any() else possible
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()
                matched[row, one], free[best] = best, is_crowd[best]
    return matched


def wrong_sort_that_is_not_stable(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(np.minimum(ious, 1 - 1e-10)):
        free = np.ones(len(truth), bool)
        for one in np.argsort(-scores):
            possible = free & (overlap[one] >= least)
            possible = possible & ~ignored if (possible & ~ignored).any() else possible
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()
                matched[row, one], free[best] = best, is_crowd[best]
    return matched


def wrong_one_to_the_last_bit(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        free = np.ones(len(truth), bool)
        for one in np.argsort(-scores, kind="stable"):
            possible = free & (overlap[one] >= least)
            possible = possible & ~ignored if (possible & ~ignored).any() else possible
            if possible.any():
                best = len(truth) - 1 - np.where(possible, overlap[one], -1)[::-1].argmax()
                matched[row, one], free[best] = best, is_crowd[best]
    return matched


def wrong_true_or_false(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    from coursekit.from_scratch.average_precision import match_detections as theirs

    return theirs(boxes, scores, truth, is_crowd, ious, ignored) >= 0


def right_with_plain_lists(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap = overlaps(boxes, truth, is_crowd).tolist()
    order = sorted(range(len(boxes)), key=lambda one: -scores[one])
    matched = np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        taken = set()
        for one in order:
            possible = [g for g in range(len(truth)) if g not in taken and overlap[one][g] >= min(least, 1 - 1e-10)]
            possible = [g for g in possible if not ignored[g]] or possible
            if possible:
                best = max(possible, key=lambda g: (overlap[one][g], g))
                matched[row, one] = best
                if not is_crowd[best]:
                    taken.add(best)
    return matched


def right_as_pycocotools_loops(boxes, scores, truth, is_crowd, ious=IOUS, ignored=None):
    ignored = is_crowd if ignored is None else ignored
    overlap, matched = overlaps(boxes, truth, is_crowd), np.full((len(ious), len(boxes)), -1)
    objects = np.argsort(ignored, kind="stable")  # those that count first
    for row, least in enumerate(ious):
        taken = np.zeros(len(truth), bool)
        for one in np.argsort(-scores, kind="stable"):
            best, most = -1, min(least, 1 - 1e-10)
            for g in objects:
                if taken[g] and not is_crowd[g]:
                    continue
                if best > -1 and not ignored[best] and ignored[g]:
                    break
                if overlap[one, g] >= most:
                    best, most = g, overlap[one, g]
            if best > -1:
                matched[row, one], taken[best] = best, True
    return matched
