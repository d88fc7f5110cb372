"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch


def wrong_not_cut(boxes, size):
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & boxes.isfinite().all(1)
    return boxes[keep], keep


def wrong_height_for_width(boxes, size):
    x1, x2 = boxes[:, 0].clamp(0, size[0]), boxes[:, 2].clamp(0, size[0])
    y1, y2 = boxes[:, 1].clamp(0, size[1]), boxes[:, 3].clamp(0, size[1])
    keep = (x2 > x1) & (y2 > y1) & boxes.isfinite().all(1)
    return torch.stack([x1, y1, x2, y2], 1)[keep], keep


def wrong_tested_before_it_is_cut(boxes, size):
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & boxes.isfinite().all(1)
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), limit)[keep], keep


def wrong_nan_gets_through(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    bad = (cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1])
    return cut[~bad], ~bad


def wrong_infinite_is_cut(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    keep = (cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])
    return cut[keep], keep


def wrong_less_than_a_pixel_is_dropped(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    keep = (cut[:, 2] - cut[:, 0] >= 1) & (cut[:, 3] - cut[:, 1] >= 1) & boxes.isfinite().all(1)
    return cut[keep], keep


def wrong_one_good_side_is_enough(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    keep = ((cut[:, 2] > cut[:, 0]) | (cut[:, 3] > cut[:, 1])) & boxes.isfinite().all(1)
    return cut[keep], keep


def wrong_cut_in_place(boxes, size):
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, size[1])
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, size[0])
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & boxes.isfinite().all(1)
    return boxes[keep], keep


def wrong_positions_for_a_mask(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    keep = ((cut[:, 2:] > cut[:, :2]).all(1) & boxes.isfinite().all(1)).nonzero()[:, 0]
    return cut[keep], keep


def right_by_a_limit(boxes, size):
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    cut = torch.minimum(boxes.clamp(min=0), limit)
    keep = (cut[:, 2:] > cut[:, :2]).all(1) & boxes.isfinite().all(1)
    return cut[keep], keep


def right_by_area(boxes, size):
    height, width = size
    cut = boxes.clone()
    cut[:, 0::2] = cut[:, 0::2].clamp(0, width)
    cut[:, 1::2] = cut[:, 1::2].clamp(0, height)
    sides = cut[:, 2:] - cut[:, :2]
    keep = (sides > 0).all(dim=1) & ~(boxes.isnan() | boxes.isinf()).any(dim=1)
    return cut[keep], keep
