"""Wrong answers that people really give; those named `right_…` must pass."""

import torch
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

from coursekit.detector import decode_boxes


def wrong_all_levels_in_one(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    best = logits.topk(min(before, len(logits))).indices
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
    boxes, scores = boxes[keep], scores[keep]
    return boxes[nms(boxes, scores, threshold)[:after]]


def wrong_level_after_level(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, start = [], 0
    for n in level_sizes:
        own = slice(start, start + n)
        best = logits[own].topk(min(before, n)).indices
        boxes = clip_boxes_to_image(decode_boxes(deltas[own][best], anchors[own][best]), size).detach()
        scores = logits[own][best].sigmoid().detach()
        keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        found.append(boxes[nms(boxes, scores, threshold)])
        start += n
    return torch.cat(found)[:after]


def wrong_forgets_where_the_level_begins(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    best = torch.cat([one.topk(min(before, len(one))).indices for one in logits.split(level_sizes)])
    level = torch.cat([torch.full((min(before, n),), i) for i, n in enumerate(level_sizes)])
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    return boxes[batched_nms(boxes, scores, level, threshold)[:after]]


def wrong_width_before_height(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, order = [], []
    width, height = size
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(before, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), (height, width)).detach()
        scores = said[best].sigmoid().detach()
        keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        kept = nms(boxes, scores, threshold)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:after]]


def wrong_cut_at_the_end(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(before, len(said))).indices
        boxes, scores = decode_boxes(move[best], guess[best]).detach(), said[best].sigmoid().detach()
        boxes, scores = boxes[scores >= least_score], scores[scores >= least_score]
        kept = nms(boxes, scores, threshold)
        found.append(boxes[kept])
        order.append(scores[kept])
    boxes = clip_boxes_to_image(torch.cat(found)[torch.cat(order).argsort(descending=True)], size)
    return boxes[remove_small_boxes(boxes, 1e-3)][:after]


def wrong_empty_boxes_stay(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(before, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size).detach()
        scores = said[best].sigmoid().detach()
        boxes, scores = boxes[scores >= least_score], scores[scores >= least_score]
        kept = nms(boxes, scores, threshold)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:after]]


def wrong_topk_of_too_many(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(before).indices  # a level may have fewer
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size).detach()
        scores = said[best].sigmoid().detach()
        keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        kept = nms(boxes[keep], scores[keep], threshold)
        found.append(boxes[keep][kept])
        order.append(scores[keep][kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:after]]


def wrong_gradient_left_on(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(before, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size)
        scores = said[best].sigmoid()
        keep = (scores >= least_score) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        kept = nms(boxes, scores, threshold)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:after]]


def right_with_torchvision(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    start, best, level = 0, [], []
    for i, n in enumerate(level_sizes):
        best.append(logits[start : start + n].topk(min(before, n)).indices + start)
        level.append(torch.full((len(best[-1]),), i))
        start += n
    best, level = torch.cat(best), torch.cat(level)
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = remove_small_boxes(boxes, 1e-3)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    keep = torch.where(scores >= least_score)[0]
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    return boxes[batched_nms(boxes, scores, level, threshold)[:after]]


@torch.no_grad()
def right_decoding_everything_first(
    logits, deltas, anchors, level_sizes, size, before=500, after=300, threshold=0.7, least_score=0.0
):
    height, width = size
    x1, y1, x2, y2 = decode_boxes(deltas, anchors).unbind(1)
    boxes = torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], 1)
    kept, start = [], 0
    for n in level_sizes:
        order = logits[start : start + n].argsort(descending=True)[:before] + start
        sides = boxes[order, 2:] - boxes[order, :2]
        order = order[(sides >= 1e-3).all(1) & (logits[order].sigmoid() >= least_score)]
        kept.append(order[nms(boxes[order], logits[order], threshold)])
        start += n
    kept = torch.cat(kept)
    return boxes[kept[logits[kept].argsort(descending=True)][:after]]
