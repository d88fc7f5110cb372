"""Wrong answers that people really give to `nms`; those named `right_…` must pass."""

import torch
from torchvision.ops import box_iou


def wrong_one_shot(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    overlap = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)
    return order[~overlap.any(0)]


def wrong_in_the_order_given(boxes, scores, iou_threshold):
    kept = []
    for row in range(len(boxes)):
        if all(box_iou(boxes[row, None], boxes[one, None]) <= iou_threshold for one in kept):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_drops_at_the_threshold(boxes, scores, iou_threshold):
    kept, order = [], scores.argsort(descending=True, stable=True).tolist()
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [one for one in order if box_iou(boxes[best, None], boxes[one, None]) < iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)


def wrong_ties_lost(boxes, scores, iou_threshold):
    kept, order = [], scores.argsort().tolist()
    while order:
        best = order.pop()
        kept.append(best)
        order = [one for one in order if box_iou(boxes[best, None], boxes[one, None]) <= iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)


def wrong_positions_among_the_sorted(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    boxes, kept = boxes[order], []
    for row in range(len(boxes)):
        if all(box_iou(boxes[row, None], boxes[one, None]) <= iou_threshold for one in kept):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_sorted_at_the_end(boxes, scores, iou_threshold):
    kept, order = [], scores.argsort(descending=True, stable=True).tolist()
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [one for one in order if box_iou(boxes[best, None], boxes[one, None]) <= iou_threshold]
    return torch.tensor(sorted(kept), dtype=torch.int64)


def wrong_fails_for_no_boxes(boxes, scores, iou_threshold):
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        order = order[1:][box_iou(boxes[order[:1]], boxes[order[1:]])[0] <= iou_threshold]
    return torch.stack(kept)


def wrong_gives_a_list(boxes, scores, iou_threshold):
    kept, order = [], scores.argsort(descending=True, stable=True).tolist()
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [one for one in order if box_iou(boxes[best, None], boxes[one, None]) <= iou_threshold]
    return kept


def right_with_a_shrinking_list(boxes, scores, iou_threshold):
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        order = order[1:][box_iou(boxes[order[:1]], boxes[order[1:]])[0] <= iou_threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)
