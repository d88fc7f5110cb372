"""Wrong answers that people really give to `box_iou`; those named `right_…` must pass."""

import torch


def wrong_clamps_the_area_not_the_sides(first, second):
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).prod(2).clamp(min=0)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both).clamp(min=1e-12)


def wrong_clamps_nothing(first, second):
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both).clamp(min=1e-12)


def wrong_counts_what_is_shared_twice(first, second):
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second)).clamp(min=1e-12)


def wrong_compares_pair_by_pair(first, second):
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first) + area(second) - both)


def wrong_nan_for_boxes_without_area(first, second):
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both)


def wrong_takes_width_and_height_for_a_corner(first, second):
    first, second = (torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) for boxes in (first, second))
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both).clamp(min=1e-12)


def wrong_computes_in_float32_only(first, second):
    first, second = first.float(), second.float()
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both).clamp(min=1e-12)


def wrong_moves_the_boxes_that_came_in(first, second):
    first -= first.min() if len(first) else 0
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area(first)[:, None] + area(second) - both).clamp(min=1e-12)


def right_coordinate_by_coordinate(first, second):
    x1 = torch.max(first[:, None, 0], second[None, :, 0])
    y1 = torch.max(first[:, None, 1], second[None, :, 1])
    x2 = torch.min(first[:, None, 2], second[None, :, 2])
    y2 = torch.min(first[:, None, 3], second[None, :, 3])
    both = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    sizes = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (first, second)]
    union = sizes[0][:, None] + sizes[1][None] - both
    return torch.where(union > 0, both / union.clamp(min=1e-30), torch.zeros_like(both))
