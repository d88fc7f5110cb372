"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch


def wrong_samples_from_the_edge_of_a_bin(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[:, None] + torch.arange(output_size * sampling_ratio) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_half_a_cell_to_the_left(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[:, None] - 0.5 + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_forgets_the_border(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_reads_the_border_from_afar(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = (lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]).clamp(0, size - 1)
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_no_least_width(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo) / (output_size * sampling_ratio)
    points = lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_averages_across_bins(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, sampling_ratio, output_size, size).mean(1)


def wrong_sets_inside_after_clamping(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = (lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]).clamp(0, size)
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0) * inside[..., None]
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_tents_below_zero(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi - lo).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[:, None] + (torch.arange(output_size * sampling_ratio) + 0.5) * step[:, None]
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()) * inside[..., None]
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_for_one_box(lo, hi, size, output_size=7, sampling_ratio=2):
    step = (hi[0] - lo[0]).clamp(min=1.0) / (output_size * sampling_ratio)
    points = lo[0] + (torch.arange(output_size * sampling_ratio) + 0.5) * step
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0) * inside[..., None]
    return tents.view(1, output_size, sampling_ratio, size).mean(2)


def right_by_two_neighbours(lo, hi, size, output_size=7, sampling_ratio=2):
    weights = torch.zeros(len(lo), output_size, size, dtype=lo.dtype)
    for r in range(len(lo)):
        width = max(float(hi[r] - lo[r]), 1.0) / output_size
        for b in range(output_size):
            for s in range(sampling_ratio):
                point = float(lo[r]) + (b + (s + 0.5) / sampling_ratio) * width
                if point < -1 or point > size:
                    continue
                point = min(max(point, 0.0), size - 1.0)
                left = min(int(point), size - 1)
                right = min(left + 1, size - 1)
                weights[r, b, left] += (1 - (point - left)) / sampling_ratio
                weights[r, b, right] += (point - left) / sampling_ratio
    return weights


def right_with_relu(lo, hi, size, output_size=7, sampling_ratio=2):
    width = torch.maximum(hi - lo, torch.ones_like(lo))
    share = (torch.arange(output_size * sampling_ratio, dtype=lo.dtype) + 0.5) / (output_size * sampling_ratio)
    points = (lo[:, None] + width[:, None] * share).reshape(-1, output_size, sampling_ratio, 1)
    near = points.clamp(0, size - 1) - torch.arange(size)
    return torch.where((points < -1) | (points > size), 0, (1 - near.abs()).relu()).mean(2)
