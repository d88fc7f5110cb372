"""Wrong answers that people really give to `match_anchors`; those named `right_…` must pass."""

import torch

from coursekit.detector import box_iou


def wrong_no_best_anchor_below_high(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    best, match = box_iou(boxes, anchors).max(0)
    return torch.where(best >= high, match, torch.where(best < low, -1, -2))


def wrong_no_ignored_band(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = ((overlap == top) & (top > 0)).any(0) if keep_best else torch.zeros_like(match, dtype=torch.bool)
    return torch.where((best >= high) | is_best, match, -1)


def wrong_only_one_of_the_best(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= high, match, torch.where(best < low, -1, -2))
    if keep_best:
        top, where = overlap.max(1)
        where = where[top > 0]
        matches[where] = match[where]
    return matches


def wrong_forces_best_anchors_on_their_box(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= high, match, torch.where(best < low, -1, -2))
    for row in range(len(boxes) if keep_best else 0):
        if overlap[row].max() > 0:
            matches[overlap[row] == overlap[row].max()] = row
    return matches


def wrong_argmax_forces_an_anchor_on_each_box(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= high, match, torch.where(best < low, -1, -2))
    if keep_best:
        matches[overlap.argmax(1)] = torch.arange(len(boxes))
    return matches


def wrong_every_anchor_for_a_box_that_none_overlaps(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    is_best = (overlap == overlap.amax(1, keepdim=True)).any(0) if keep_best else best >= high
    return torch.where((best >= high) | is_best, match, torch.where(best < low, -1, -2))


def wrong_fails_where_nothing_is(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = ((overlap == top) & (top > 0)).any(0) if keep_best else torch.zeros_like(match, dtype=torch.bool)
    return torch.where((best >= high) | is_best, match, torch.where(best < low, -1, -2))


def wrong_background_and_ignored_exchanged(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = ((overlap == top) & (top > 0)).any(0) if keep_best else torch.zeros_like(match, dtype=torch.bool)
    return torch.where((best >= high) | is_best, match, torch.where(best < low, -2, -1))


def wrong_background_on_the_cpu(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = ((overlap == top) & (top > 0)).any(0) if keep_best else torch.zeros_like(match, dtype=torch.bool)
    return torch.where((best >= high) | is_best, match, torch.where(best < low, -1, -2))


def right_anchor_by_anchor(anchors, boxes, high=0.7, low=0.3, keep_best=True):
    matches = torch.full((len(anchors),), -1, device=anchors.device)
    if not len(boxes):
        return matches
    overlap = box_iou(anchors, boxes)
    tops = overlap.max(0).values
    for row in range(len(anchors)):
        best = int(overlap[row].argmax())
        is_best = bool(((overlap[row] == tops) & (tops > 0)).any())
        if overlap[row, best] >= high or (keep_best and is_best):
            matches[row] = best
        elif overlap[row, best] >= low:
            matches[row] = -2
    return matches
