"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import math

import torch


def wrong_no_square_root(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.floor(canonical_level + torch.log2(area / canonical_scale**2)).clamp(finest, coarsest).long()


def wrong_area_over_the_size(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.floor(canonical_level + torch.log2(area / canonical_scale)).clamp(finest, coarsest).long()


def wrong_natural_logarithm(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_rounds_to_the_nearest(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.round(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_rounds_up(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.ceil(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_by_the_width(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = boxes[:, 2] - boxes[:, 0]
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_by_the_diagonal(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).norm(dim=1)
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_takes_xyxy_for_xywh(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = boxes[:, 2:].prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_upside_down(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(canonical_scale / size)).clamp(finest, coarsest).long()


def wrong_not_clamped(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).long()


def wrong_index_into_the_list(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long() - finest


def wrong_stays_float(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest)


def wrong_crashes_without_area(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    levels = []
    for x1, y1, x2, y2 in boxes.tolist():
        level = math.floor(canonical_level + math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / canonical_scale))
        levels.append(min(max(level, finest), coarsest))
    return torch.tensor(levels, dtype=torch.int64)


def wrong_a_one_in_the_logarithm(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(1 + size / canonical_scale)).clamp(finest, coarsest).long()


def right_with_half_the_logarithm_of_the_area(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    level = canonical_level + 0.5 * torch.log2(width * height / canonical_scale**2)
    return level.floor().clamp(min=finest, max=coarsest).long()


def right_by_counting_limits(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    level = torch.full((len(boxes),), finest, dtype=torch.int64)
    for k in range(finest + 1, coarsest + 1):
        level += area >= (canonical_scale * 2.0 ** (k - canonical_level)) ** 2
    return level
