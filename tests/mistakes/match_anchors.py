"""Wrong answers that people really give to `match_anchors`; those named `right_…` must pass."""

import torch

from coursekit.detector import box_iou


def wrong_no_best_anchor_below_high(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    best, match = box_iou(boxes, anchors).max(0)
    return torch.where(best >= fg_iou_thresh, match, torch.where(best < bg_iou_thresh, -1, -2))


def wrong_no_ignored_band(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = (
        ((overlap == top) & (top > 0)).any(0)
        if allow_low_quality_matches
        else torch.zeros_like(match, dtype=torch.bool)
    )
    return torch.where((best >= fg_iou_thresh) | is_best, match, -1)


def wrong_only_one_of_the_best(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= fg_iou_thresh, match, torch.where(best < bg_iou_thresh, -1, -2))
    if allow_low_quality_matches:
        top, where = overlap.max(1)
        where = where[top > 0]
        matches[where] = match[where]
    return matches


def wrong_forces_best_anchors_on_their_box(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= fg_iou_thresh, match, torch.where(best < bg_iou_thresh, -1, -2))
    for row in range(len(boxes) if allow_low_quality_matches else 0):
        if overlap[row].max() > 0:
            matches[overlap[row] == overlap[row].max()] = row
    return matches


def wrong_argmax_forces_an_anchor_on_each_box(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    matches = torch.where(best >= fg_iou_thresh, match, torch.where(best < bg_iou_thresh, -1, -2))
    if allow_low_quality_matches:
        matches[overlap.argmax(1)] = torch.arange(len(boxes))
    return matches


def wrong_every_anchor_for_a_box_that_none_overlaps(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    is_best = (overlap == overlap.amax(1, keepdim=True)).any(0) if allow_low_quality_matches else best >= fg_iou_thresh
    return torch.where((best >= fg_iou_thresh) | is_best, match, torch.where(best < bg_iou_thresh, -1, -2))


def wrong_fails_where_nothing_is(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = (
        ((overlap == top) & (top > 0)).any(0)
        if allow_low_quality_matches
        else torch.zeros_like(match, dtype=torch.bool)
    )
    return torch.where((best >= fg_iou_thresh) | is_best, match, torch.where(best < bg_iou_thresh, -1, -2))


def wrong_background_and_ignored_exchanged(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = (
        ((overlap == top) & (top > 0)).any(0)
        if allow_low_quality_matches
        else torch.zeros_like(match, dtype=torch.bool)
    )
    return torch.where((best >= fg_iou_thresh) | is_best, match, torch.where(best < bg_iou_thresh, -2, -1))


def wrong_background_on_the_cpu(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1)
    overlap = box_iou(boxes, anchors)
    best, match = overlap.max(0)
    top = overlap.amax(1, keepdim=True)
    is_best = (
        ((overlap == top) & (top > 0)).any(0)
        if allow_low_quality_matches
        else torch.zeros_like(match, dtype=torch.bool)
    )
    return torch.where((best >= fg_iou_thresh) | is_best, match, torch.where(best < bg_iou_thresh, -1, -2))


def right_anchor_by_anchor(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = torch.full((len(anchors),), -1, device=anchors.device)
    if not len(boxes):
        return matches
    overlap = box_iou(anchors, boxes)
    tops = overlap.max(0).values
    for row in range(len(anchors)):
        best = int(overlap[row].argmax())
        is_best = bool(((overlap[row] == tops) & (tops > 0)).any())
        if overlap[row, best] >= fg_iou_thresh or (allow_low_quality_matches and is_best):
            matches[row] = best
        elif overlap[row, best] >= bg_iou_thresh:
            matches[row] = -2
    return matches
