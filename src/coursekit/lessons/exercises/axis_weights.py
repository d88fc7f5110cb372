"""Exercise 6.2, `axis_weights`: the interpolation weights of RoIAlign along one axis."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.detector import axis_weights
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    def edges(*pairs: tuple[float, float]) -> tuple[Tensor, Tensor]:
        lo, hi = torch.tensor(pairs, dtype=torch.float32).unbind(1)
        return lo, hi

    yield case("one bin with one sample, on a cell", *edges((1, 3)), 4, 1, 1)
    yield case("one sample between two cells", *edges((1, 2.5)), 4, 1, 1)
    yield case("the two bins of the example", *edges((0, 2)), 4, 2, 1)
    yield case("one bin with two samples", *edges((0, 3)), 4, 1, 2)
    yield case("two bins with two samples each", *edges((0, 4)), 6, 2, 2)
    yield case("three samples in one bin", *edges((0.5, 5)), 6, 1, 3)
    yield case("a box far from 0", *edges((5, 7)), 8, 2, 1)
    yield case("a box narrower than one cell", *edges((2, 2.4)), 5, 2, 1)
    yield case("a box with no width", *edges((1.25, 1.25)), 4, 1, 1)
    yield case("a sample half a cell to the left of the map", *edges((-1.5, 0.5)), 4, 1, 1)
    yield case("a sample half a cell beyond the last cell", *edges((3, 4)), 4, 1, 1)
    yield case("samples exactly one cell outside", *edges((-2, 0), (3, 5)), 4, 1, 1)
    yield case("samples far outside, left and right", *edges((-6, -2), (5, 9)), 4, 1, 1)
    yield case("a box that is half outside", *edges((-4, 4)), 5, 4, 2)
    yield case("three boxes", *edges((0, 3), (2, 9), (1, 1.5)), 9, 3, 2)
    yield case("no box", torch.empty(0), torch.empty(0), 5, 2, 1)
    lo = torch.rand(6, generator=generator) * 30 - 3
    yield case("six boxes, 7 bins with 2 samples each", lo, lo + 20 * torch.rand(6, generator=generator), 30)
    yield case("a map of one cell", *edges((-0.5, 0.25), (0, 3), (-2.5, 9)), 1, 2, 2)
    yield case("a box whose edges are swapped counts as one cell wide", *edges((4, 2)), 6, 2, 1)
    yield on_a_gpu(*edges((0, 3), (2, 9)), 9, 3, 2, what="edges")
    lo = lo.double()
    yield case("float64", lo, lo + 9 * torch.rand(6, generator=generator, dtype=torch.float64), 25, 4, 3)


# The right answer in two steps. A wrong one changes something in one of them.


def points_of(lo, hi, output_size, sampling_ratio, first=0.5, min_width=1.0):
    steps = (torch.arange(output_size * sampling_ratio, dtype=lo.dtype, device=lo.device) + first) / sampling_ratio
    return lo[:, None] + steps * ((hi - lo).clamp(min=min_width) / output_size)[:, None]


def weights_at(points, size, output_size, sampling_ratio):
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size, device=points.device)).abs()).clamp(min=0)
    return (tents * inside[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_samples_from_the_edge_of_a_bin(lo, hi, size, output_size=7, sampling_ratio=2):
    return weights_at(points_of(lo, hi, output_size, sampling_ratio, first=0.0), size, output_size, sampling_ratio)


def wrong_samples_from_edge_to_edge(lo, hi, size, output_size=7, sampling_ratio=2):
    share = torch.linspace(0, 1, output_size * sampling_ratio, dtype=lo.dtype, device=lo.device)
    points = lo[:, None] + share * (hi - lo).clamp(min=1.0)[:, None]
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_half_a_cell_to_the_left(lo, hi, size, output_size=7, sampling_ratio=2):
    return weights_at(points_of(lo, hi, output_size, sampling_ratio) - 0.5, size, output_size, sampling_ratio)


def wrong_one_sample_per_bin(lo, hi, size, output_size=7, sampling_ratio=2):
    return axis_weights(lo, hi, size, output_size, 1)


def wrong_no_minimum_width(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio, min_width=0.0)
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_hi_is_the_width(lo, hi, size, output_size=7, sampling_ratio=2):
    return axis_weights(lo, lo + hi, size, output_size, sampling_ratio)


def wrong_sum_of_samples(lo, hi, size, output_size=7, sampling_ratio=2):
    return axis_weights(lo, hi, size, output_size, sampling_ratio) * sampling_ratio


def wrong_averages_across_bins(lo, hi, size, output_size=7, sampling_ratio=2):
    samples = weights_at(points_of(lo, hi, output_size, sampling_ratio), size, output_size * sampling_ratio, 1)
    return samples.view(-1, sampling_ratio, output_size, size).mean(1)


def wrong_nearest_cell(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    inside = (points >= -1) & (points <= size)
    nearest = F.one_hot(points.round().clamp(0, size - 1).long(), size).to(lo.dtype)
    return (nearest * inside[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_forgets_the_border(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    tents = (1 - (points[..., None] - torch.arange(size, device=points.device)).abs()).clamp(min=0)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_reads_the_border_from_afar(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio).clamp(0, size - 1)
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_reads_nothing_outside(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    points = torch.where((points >= 0) & (points <= size - 1), points, -9.0)
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_inside_after_clamping(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio).clamp(0, size)
    tents = (1 - (points[..., None] - torch.arange(size, device=points.device)).abs()).clamp(min=0)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_tents_below_zero(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size, device=points.device)).abs()) * inside[
        ..., None
    ]
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def wrong_on_the_cpu(lo, hi, size, output_size=7, sampling_ratio=2):
    steps = (torch.arange(output_size * sampling_ratio) + 0.5) / sampling_ratio
    points = lo[:, None] + steps * ((hi - lo).clamp(min=1.0) / output_size)[:, None]
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_border_not_included(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    points = torch.where((points > -1) & (points < size), points, -9.0)
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_last_border_at_size_minus_1(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo, hi, output_size, sampling_ratio)
    points = torch.where(points <= size - 1, points, -9.0)
    return weights_at(points, size, output_size, sampling_ratio)


def wrong_minimum_around_the_middle(lo, hi, size, output_size=7, sampling_ratio=2):
    middle, half = (lo + hi) / 2, (hi - lo).clamp(min=1.0) / 2
    return axis_weights(middle - half, middle + half, size, output_size, sampling_ratio)


def wrong_bins_and_samples_last(lo, hi, size, output_size=7, sampling_ratio=2):
    return axis_weights(lo, hi, size, output_size, sampling_ratio).transpose(1, 2)


def wrong_without_mean(lo, hi, size, output_size=7, sampling_ratio=2):
    return weights_at(points_of(lo, hi, output_size, sampling_ratio), size, output_size * sampling_ratio, 1)


def wrong_always_float32(lo, hi, size, output_size=7, sampling_ratio=2):
    return axis_weights(lo.float(), hi.float(), size, output_size, sampling_ratio)


def wrong_normalized(lo, hi, size, output_size=7, sampling_ratio=2):
    weights = axis_weights(lo, hi, size, output_size, sampling_ratio)
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-9)


def wrong_only_the_first_box(lo, hi, size, output_size=7, sampling_ratio=2):
    points = points_of(lo[:1], hi[:1], output_size, sampling_ratio)
    if not len(points):
        raise IndexError("index 0 is out of bounds for dimension 0 with size 0")
    return weights_at(points, size, output_size, sampling_ratio)


def right_by_two_neighbors(lo, hi, size, output_size=7, sampling_ratio=2):
    weights = lo.new_zeros(len(lo), output_size, size)
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
    share = (torch.arange(output_size * sampling_ratio, dtype=lo.dtype, device=lo.device) + 0.5) / (
        output_size * sampling_ratio
    )
    points = (lo[:, None] + width[:, None] * share).reshape(-1, output_size, sampling_ratio, 1)
    distance = points.clamp(0, size - 1) - torch.arange(size, device=lo.device)
    return torch.where((points < -1) | (points > size), 0, (1 - distance.abs()).relu()).mean(2)


EXERCISE = Exercise(
    "axis_weights",
    lesson=6,
    minutes=20,
    reference=axis_weights,
    cases=cases,
    call=anywhere,
    hints=(
        "“My patch is shifted by half a sample.” Two samples of a bin are at a quarter and at three quarters of it; a single "
        "sample is in the middle. So where is sample number k of all output_size * sampling_ratio samples, counted in bins?",
        "“It is right inside and wrong at the border.” Two things happen outside the map. A sample up to one cell outside is "
        "moved to the border before its tent is computed: clamp it to 0 … size - 1. A sample farther out gets weights of 0. "
        "Remember which samples those are *before* you clamp.",
        "“Nearly there.” steps = (torch.arange(output_size * sampling_ratio, device=lo.device, dtype=lo.dtype) + 0.5) / "
        "sampling_ratio; points = lo[:, None] + steps * (width of a bin)[:, None]; the tents are 1 - |points[..., None] - "
        "torch.arange(size, device=lo.device)|, clamped at 0; then .view(-1, output_size, sampling_ratio, size).mean(2).",
    ),
    wrong=(
        Wrong(
            wrong_samples_from_the_edge_of_a_bin, "the first sample is on the edge of its bin, not half a step inside"
        ),
        Wrong(
            wrong_samples_from_edge_to_edge,
            "the samples go from edge to edge of the box (linspace), not half a step inside",
        ),
        Wrong(wrong_half_a_cell_to_the_left, "everything is shifted by half a cell (torchvision's aligned=True)"),
        Wrong(wrong_one_sample_per_bin, "`sampling_ratio` is not used: one sample per bin"),
        Wrong(wrong_no_minimum_width, "a box narrower than one cell stays that narrow"),
        Wrong(wrong_hi_is_the_width, "`hi` is used as the width of the box"),
        Wrong(wrong_sum_of_samples, "the samples of a bin are summed instead of averaged"),
        Wrong(
            wrong_averages_across_bins,
            "samples of different bins are averaged: view(-1, sampling_ratio, output_size, …)",
        ),
        Wrong(wrong_nearest_cell, "the nearest cell is read instead of a mix of both neighbors"),
        Wrong(
            wrong_forgets_the_border, "a sample less than a cell outside fades away, where it should read the border"
        ),
        Wrong(wrong_reads_the_border_from_afar, "a sample far outside reads the border, where it should read 0"),
        Wrong(wrong_reads_nothing_outside, "every sample outside reads 0, even one less than a cell away"),
        Wrong(wrong_border_not_included, "a sample exactly one cell outside reads 0: -1 and size are included"),
        Wrong(
            wrong_minimum_around_the_middle,
            "a box narrower than one cell grows around its middle, where it should start at `lo`",
        ),
        Wrong(wrong_tents_below_zero, "the tents go below 0, because they are not clamped"),
        Wrong(wrong_inside_after_clamping, "samples are clamped to 0 … size: the last cell is size - 1"),
        Wrong(
            wrong_last_border_at_size_minus_1, "a sample beyond the last cell reads 0, even one less than a cell away"
        ),
        Wrong(wrong_bins_and_samples_last, "bins and cells are swapped: (R, size, output_size)"),
        Wrong(wrong_without_mean, "there is a row for each sample, where there should be one for each bin"),
        Wrong(wrong_always_float32, "the weights are float32, whatever the dtype of `lo` is"),
        Wrong(wrong_normalized, "each row is divided by its sum: samples far outside should lower it"),
        Wrong(wrong_on_the_cpu),
        Wrong(wrong_only_the_first_box),
    ),
    right=(right_by_two_neighbors, right_with_relu),
)
