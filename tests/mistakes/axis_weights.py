"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch


def wrong_samples_from_the_edge_of_a_bin(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = low[:, None] + torch.arange(bins * samples) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_half_a_cell_to_the_left(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = low[:, None] - 0.5 + (torch.arange(bins * samples) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_forgets_the_border(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_reads_the_border_from_afar(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = (low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]).clamp(0, size - 1)
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_no_least_width(low, high, size, bins=7, samples=2):
    step = (high - low) / (bins * samples)
    points = low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_averages_across_bins(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]
    outside = (points < -1) | (points > size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    tents[outside] = 0
    return tents.view(-1, samples, bins, size).mean(1)


def wrong_sets_inside_after_clamping(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = (low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]).clamp(0, size)
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0) * inside[..., None]
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_tents_below_zero(low, high, size, bins=7, samples=2):
    step = (high - low).clamp(min=1.0) / (bins * samples)
    points = low[:, None] + (torch.arange(bins * samples) + 0.5) * step[:, None]
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()) * inside[..., None]
    return tents.view(-1, bins, samples, size).mean(2)


def wrong_for_one_box(low, high, size, bins=7, samples=2):
    step = (high[0] - low[0]).clamp(min=1.0) / (bins * samples)
    points = low[0] + (torch.arange(bins * samples) + 0.5) * step
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0) * inside[..., None]
    return tents.view(1, bins, samples, size).mean(2)


def right_by_two_neighbours(low, high, size, bins=7, samples=2):
    weights = torch.zeros(len(low), bins, size, dtype=low.dtype)
    for r in range(len(low)):
        width = max(float(high[r] - low[r]), 1.0) / bins
        for b in range(bins):
            for s in range(samples):
                point = float(low[r]) + (b + (s + 0.5) / samples) * width
                if point < -1 or point > size:
                    continue
                point = min(max(point, 0.0), size - 1.0)
                left = min(int(point), size - 1)
                right = min(left + 1, size - 1)
                weights[r, b, left] += (1 - (point - left)) / samples
                weights[r, b, right] += (point - left) / samples
    return weights


def right_with_relu(low, high, size, bins=7, samples=2):
    width = torch.maximum(high - low, torch.ones_like(low))
    share = (torch.arange(bins * samples, dtype=low.dtype) + 0.5) / (bins * samples)
    points = (low[:, None] + width[:, None] * share).reshape(-1, bins, samples, 1)
    near = points.clamp(0, size - 1) - torch.arange(size)
    return torch.where((points < -1) | (points > size), 0, (1 - near.abs()).relu()).mean(2)
