"""Wrong answers that people really give; those named `right_…` must pass."""

import torch
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

from coursekit.detector import decode_boxes


def wrong_all_levels_in_one(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    best = logits.topk(min(pre_nms_top_n, len(logits))).indices
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
    boxes, scores = boxes[keep], scores[keep]
    return boxes[nms(boxes, scores, nms_thresh)[:post_nms_top_n]]


def wrong_level_after_level(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, start = [], 0
    for n in level_sizes:
        own = slice(start, start + n)
        best = logits[own].topk(min(pre_nms_top_n, n)).indices
        boxes = clip_boxes_to_image(decode_boxes(deltas[own][best], anchors[own][best]), size).detach()
        scores = logits[own][best].sigmoid().detach()
        keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        found.append(boxes[nms(boxes, scores, nms_thresh)])
        start += n
    return torch.cat(found)[:post_nms_top_n]


def wrong_forgets_where_the_level_begins(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    best = torch.cat([one.topk(min(pre_nms_top_n, len(one))).indices for one in logits.split(level_sizes)])
    level = torch.cat([torch.full((min(pre_nms_top_n, n),), i) for i, n in enumerate(level_sizes)])
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    return boxes[batched_nms(boxes, scores, level, nms_thresh)[:post_nms_top_n]]


def wrong_width_before_height(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, order = [], []
    width, height = size
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(pre_nms_top_n, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), (height, width)).detach()
        scores = said[best].sigmoid().detach()
        keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        kept = nms(boxes, scores, nms_thresh)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:post_nms_top_n]]


def wrong_cut_at_the_end(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(pre_nms_top_n, len(said))).indices
        boxes, scores = decode_boxes(move[best], guess[best]).detach(), said[best].sigmoid().detach()
        boxes, scores = boxes[scores >= score_thresh], scores[scores >= score_thresh]
        kept = nms(boxes, scores, nms_thresh)
        found.append(boxes[kept])
        order.append(scores[kept])
    boxes = clip_boxes_to_image(torch.cat(found)[torch.cat(order).argsort(descending=True)], size)
    return boxes[remove_small_boxes(boxes, 1e-3)][:post_nms_top_n]


def wrong_empty_boxes_stay(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(pre_nms_top_n, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size).detach()
        scores = said[best].sigmoid().detach()
        boxes, scores = boxes[scores >= score_thresh], scores[scores >= score_thresh]
        kept = nms(boxes, scores, nms_thresh)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:post_nms_top_n]]


def wrong_topk_of_too_many(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(pre_nms_top_n).indices  # a level may have fewer
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size).detach()
        scores = said[best].sigmoid().detach()
        keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        kept = nms(boxes[keep], scores[keep], nms_thresh)
        found.append(boxes[keep][kept])
        order.append(scores[keep][kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:post_nms_top_n]]


def wrong_gradient_left_on(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    found, order = [], []
    for said, move, guess in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        best = said.topk(min(pre_nms_top_n, len(said))).indices
        boxes = clip_boxes_to_image(decode_boxes(move[best], guess[best]), size)
        scores = said[best].sigmoid()
        keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
        boxes, scores = boxes[keep], scores[keep]
        kept = nms(boxes, scores, nms_thresh)
        found.append(boxes[kept])
        order.append(scores[kept])
    return torch.cat(found)[torch.cat(order).argsort(descending=True)[:post_nms_top_n]]


def right_with_torchvision(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    start, best, level = 0, [], []
    for i, n in enumerate(level_sizes):
        best.append(logits[start : start + n].topk(min(pre_nms_top_n, n)).indices + start)
        level.append(torch.full((len(best[-1]),), i))
        start += n
    best, level = torch.cat(best), torch.cat(level)
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = remove_small_boxes(boxes, 1e-3)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    keep = torch.where(scores >= score_thresh)[0]
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    return boxes[batched_nms(boxes, scores, level, nms_thresh)[:post_nms_top_n]]


@torch.no_grad()
def right_decoding_everything_first(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    height, width = size
    x1, y1, x2, y2 = decode_boxes(deltas, anchors).unbind(1)
    boxes = torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], 1)
    kept, start = [], 0
    for n in level_sizes:
        order = logits[start : start + n].argsort(descending=True)[:pre_nms_top_n] + start
        sides = boxes[order, 2:] - boxes[order, :2]
        order = order[(sides >= 1e-3).all(1) & (logits[order].sigmoid() >= score_thresh)]
        kept.append(order[nms(boxes[order], logits[order], nms_thresh)])
        start += n
    kept = torch.cat(kept)
    return boxes[kept[logits[kept].argsort(descending=True)][:post_nms_top_n]]
