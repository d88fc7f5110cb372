"""Exercise 4.1, `make_anchors`: the anchors of one level, in order."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from coursekit.detector import make_anchors
from coursekit.lessons.exercise import Case, Exercise, Wrong, case

Pair = tuple[int, int]

Floats = Sequence[float]


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one cell with one square", (1, 1), (8, 8), (16,), (1.0,))
    yield case("two cells side by side", (1, 2), (8, 8), (16,), (1.0,))
    yield case("two cells one above the other", (2, 1), (8, 8), (16,), (1.0,))
    yield case("two by two cells", (2, 2), (8, 8), (16,), (1.0,))
    yield case("different strides down and across", (2, 2), (8, 10), (16,), (1.0,))
    yield case("a shape four times as tall as wide", (1, 1), (8, 8), (16,), (4.0,))
    yield case("a wide shape and a tall one", (1, 1), (8, 8), (16,), (0.25, 4.0))
    yield case("two sizes", (1, 1), (8, 8), (16, 32), (1.0,))
    yield case("two sizes, two ratios", (1, 1), (8, 8), (16, 32), (1.0, 4.0))
    yield case("two cells, two ratios", (1, 2), (8, 8), (16,), (1.0, 4.0))
    yield case("corners between two pixels", (1, 1), (8, 8), (15,), (1.0,))
    yield case("corners between two pixels, where torch.round takes the even one", (1, 2), (8, 8), (13, 17), (1.0,))
    yield case("ratios as integers", (1, 1), (8, 8), (16,), (1, 4))
    yield case("a column of cells, a stride that isn't square", (3, 1), (4, 16), (10,), (2.0,))
    yield case("shapes whose sides are not whole numbers", (1, 1), (8, 8), (20,), (0.5, 2.0))
    yield case("sizes and ratios as lists", (1, 3), (4, 4), [6.0, 10.0], [1.0])
    yield case("a whole level", (5, 7), (16, 16), (24, 40, 64), (0.5, 1.0, 2.0))


def _corners(grid: Pair, stride: Pair) -> Tensor:
    """Return the centers of the cells, row by row: (H, W, 1, 4) float32."""
    down, across = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    down, across = down * float(stride[0]), across * float(stride[1])
    return torch.stack([across, down, across, down], -1)[:, :, None]


def _shapes(sizes: Floats, ratios: Floats) -> Tensor:
    """Return the anchors about (0, 0): (A, 4) float32."""
    return make_anchors((1, 1), (1, 1), sizes, ratios)


def wrong_column_by_column(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return (_corners(grid, stride).transpose(0, 1) + _shapes(sizes, ratios)).reshape(-1, 4)


def wrong_shape_by_shape(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return (_corners(grid, stride) + _shapes(sizes, ratios)).permute(2, 0, 1, 3).reshape(-1, 4)


def wrong_size_by_size(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    shapes = _shapes(sizes, ratios).reshape(len(ratios), len(sizes), 4).transpose(0, 1).reshape(-1, 4)
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def wrong_width_over_height(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, [1 / ratio for ratio in ratios])


def wrong_no_root(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, [ratio**2 for ratio in ratios])


def wrong_only_taller(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    sides = [(size, size * ratio) for ratio in ratios for size in sizes]
    shapes = (torch.tensor([(-w, -h, w, h) for w, h in sides], dtype=torch.float32) / 2).round()
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def wrong_in_the_middle(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    half = torch.tensor([stride[1] / 2, stride[0] / 2] * 2)
    return make_anchors(grid, stride, sizes, ratios) + half


def wrong_strides_exchanged(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride[::-1], sizes, ratios)


def wrong_no_stride(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, (1, 1), sizes, ratios)


def wrong_not_rounded(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    sides = [(size / ratio**0.5, size * ratio**0.5) for ratio in ratios for size in sizes]
    shapes = torch.tensor([(-w, -h, w, h) for w, h in sides]) / 2
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def wrong_twice_as_large(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, [2 * size for size in sizes], ratios)


def wrong_cut_at_0(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios).clamp(min=0)


def wrong_y_before_x(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios)[:, [1, 0, 3, 2]]


def wrong_whole_numbers(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios).to(torch.int64)


def wrong_one_stride_for_both(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[0], indexing="ij")
    shapes = [[-s / r**0.5 / 2, -s * r**0.5 / 2, s / r**0.5 / 2, s * r**0.5 / 2] for r in ratios for s in sizes]
    return (torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes).round()).reshape(-1, 4)


def wrong_grid_kept(grid, stride, sizes, ratios):
    y, x = torch.meshgrid(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij")
    shapes = [[-s / r**0.5 / 2, -s * r**0.5 / 2, s / r**0.5 / 2, s * r**0.5 / 2] for r in ratios for s in sizes]
    return torch.stack([x, y, x, y], -1)[:, :, None] + torch.tensor(shapes).round()


HALF_UP = "corners are rounded half up (or cut), but torch.round takes the even number"


def _with_shapes(grid, stride, sizes, ratios, rounded):
    """Return the anchors whose half sides are rounded in another way."""
    sides = [(size / ratio**0.5, size * ratio**0.5) for ratio in ratios for size in sizes]
    shapes = rounded(torch.tensor([(-w, -h, w, h) for w, h in sides], dtype=torch.float32) / 2)
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def wrong_half_up(grid, stride, sizes, ratios):
    return _with_shapes(grid, stride, sizes, ratios, lambda shapes: (shapes + 0.5).floor())


def wrong_cut_to_whole_pixels(grid, stride, sizes, ratios):
    return _with_shapes(grid, stride, sizes, ratios, torch.trunc)


def wrong_rounded_down(grid, stride, sizes, ratios):
    return _with_shapes(grid, stride, sizes, ratios, torch.floor)


def wrong_sides_rounded(grid, stride, sizes, ratios):
    return _with_shapes(grid, stride, sizes, ratios, lambda shapes: (2 * shapes).round() / 2)


def wrong_from_the_corner(grid, stride, sizes, ratios):
    sides = [(size / ratio**0.5, size * ratio**0.5) for ratio in ratios for size in sizes]
    return (_corners(grid, stride) + torch.tensor([(0, 0, w, h) for w, h in sides]).round()).reshape(-1, 4)


def wrong_float64(grid, stride, sizes, ratios):
    return make_anchors(grid, stride, sizes, ratios).double()


def wrong_center_and_size(grid, stride, sizes, ratios):
    anchors = make_anchors(grid, stride, sizes, ratios)
    side = anchors[:, 2:] - anchors[:, :2]
    return torch.cat([anchors[:, :2] + side / 2, side], 1)


def wrong_corner_and_size(grid, stride, sizes, ratios):
    anchors = make_anchors(grid, stride, sizes, ratios)
    return torch.cat([anchors[:, :2], anchors[:, 2:] - anchors[:, :2]], 1)


def wrong_centers_only(grid, stride, sizes, ratios):
    return _corners(grid, stride).expand(-1, -1, len(sizes) * len(ratios), 4).reshape(-1, 4).clone()


def wrong_pairs_of_size_and_ratio(grid, stride, sizes, ratios):
    count = min(len(sizes), len(ratios))
    parts = [make_anchors(grid, stride, sizes[n : n + 1], ratios[n : n + 1]) for n in range(count)]
    return torch.stack(parts, 1).reshape(-1, 4)


def wrong_wider_only(grid, stride, sizes, ratios):
    sides = [(size / ratio, size) for ratio in ratios for size in sizes]
    shapes = (torch.tensor([(-w, -h, w, h) for w, h in sides], dtype=torch.float32) / 2).round()
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def wrong_grid_exchanged(grid, stride, sizes, ratios):
    return make_anchors(grid[::-1], stride, sizes, ratios)


def wrong_size_times_stride(grid, stride, sizes, ratios):
    return make_anchors(grid, stride, [size * stride[0] for size in sizes], ratios)


def wrong_clipped_to_the_map(grid, stride, sizes, ratios):
    limit = torch.tensor([grid[1] * stride[1], grid[0] * stride[0]] * 2)
    return make_anchors(grid, stride, sizes, ratios).clamp(min=0).minimum(limit)


def right_four_loops(grid, stride, sizes, ratios):
    anchors = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            for ratio in ratios:
                for size in sizes:
                    w, h = size / ratio**0.5, size * ratio**0.5
                    right, down = round(w / 2), round(h / 2)
                    x, y = column * stride[1], row * stride[0]
                    anchors.append([x - right, y - down, x + right, y + down])
    return torch.tensor(anchors, dtype=torch.float32)


def right_repeated_and_tiled(grid, stride, sizes, ratios):
    rows, columns = grid
    shapes = []
    for ratio in ratios:
        for size in sizes:
            half = torch.tensor([size / ratio**0.5, size * ratio**0.5]) / 2
            shapes.append(torch.cat([-half, half]).round())
    x = torch.arange(columns).mul(stride[1]).repeat(rows)
    y = torch.arange(rows).mul(stride[0]).repeat_interleave(columns)
    centers = torch.stack([x, y, x, y], 1).float().repeat_interleave(len(shapes), 0)
    return centers + torch.stack(shapes).repeat(rows * columns, 1)


def right_by_products(grid, stride, sizes, ratios):
    shapes = [(size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2) for ratio, size in product(ratios, sizes)]
    shapes = torch.tensor([[-w, -h, w, h] for w, h in shapes], dtype=torch.float32).round()
    centers = torch.cartesian_prod(torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1]).flip(1)
    return (centers.repeat(1, 2).unsqueeze(1) + shapes.unsqueeze(0)).flatten(0, 1)


EXERCISE = Exercise(
    "make_anchors",
    lesson=4,
    minutes=25,
    reference=make_anchors,
    cases=cases,
    library=("torchvision.models.detection.anchor_utils.AnchorGenerator",),
    hints=(
        "“Right anchors, wrong order.” Read the order aloud as four loops, the outermost first: rows, cells of a row, "
        "ratios, sizes. The last one changes fastest. Which axes must your tensor have, from left to right, before reshape?",
        "“My tall anchors have too much area.” Height over width is r, height times width is size². Multiply the two "
        "equations: height² = r · size². So height = size · √r. And the width?",
        "“Nearly there.” shapes: (A, 4), half sides with signs, rounded. torch.meshgrid(rows · stride[0], columns · "
        'stride[1], indexing="ij") gives down and across, each (H, W); torch.stack([across, down, across, down], -1) is '
        "(H, W, 4). Give it an axis for the shapes: corners[:, :, None] + shapes is (H, W, A, 4).",
    ),
    wrong=(
        Wrong(wrong_column_by_column, "the cells come column by column, not row by row"),
        Wrong(wrong_shape_by_shape, "one shape in all cells, then the next: all shapes of a cell must come together"),
        Wrong(wrong_size_by_size, "within a cell, size by size instead of ratio by ratio"),
        Wrong(wrong_width_over_height, "the ratio is used as width over height"),
        Wrong(wrong_no_root, "the square root of the ratio is missing"),
        Wrong(wrong_only_taller, "a taller shape is as wide as the square: its area grows with the ratio"),
        Wrong(wrong_in_the_middle, "the centers are in the middle of the cells; here the first is at pixel (0, 0)"),
        Wrong(wrong_strides_exchanged, "the strides down and across are swapped"),
        Wrong(wrong_no_stride, "cells are counted, not multiplied by the stride"),
        Wrong(wrong_not_rounded, "the corners are not rounded"),
        Wrong(wrong_twice_as_large, "the whole side goes to each side of the center: twice too large"),
        Wrong(wrong_cut_at_0, "anchors are clipped at 0; they may reach beyond the image"),
        Wrong(wrong_y_before_x, "y comes before x"),
        Wrong(wrong_whole_numbers, "it returns whole numbers (int64) instead of float32"),
        Wrong(wrong_one_stride_for_both, "one stride is used down and across"),
        Wrong(wrong_grid_kept, "the result still has axes for the grid: reshape it to (H * W * A, 4)"),
        Wrong(wrong_half_up, HALF_UP),
        Wrong(wrong_cut_to_whole_pixels, "corners are cut to whole pixels, not rounded"),
        Wrong(wrong_rounded_down, "corners are rounded down, not to the nearest pixel"),
        Wrong(wrong_sides_rounded, "the sides are rounded, not the corners"),
        Wrong(wrong_from_the_corner, "anchors start at the center of their cell, but it should be their middle"),
        Wrong(wrong_float64, "it returns float64 instead of float32"),
        Wrong(wrong_center_and_size, "it returns center and size, not two corners"),
        Wrong(wrong_corner_and_size, "it returns x, y, width and height, not two corners"),
        Wrong(wrong_centers_only, "anchors have no size: only their centers are there"),
        Wrong(wrong_pairs_of_size_and_ratio, "each size is paired with one ratio, but each needs all ratios"),
        Wrong(wrong_wider_only, "only the width depends on the ratio, so the area changes with it"),
        Wrong(wrong_grid_exchanged, "rows and columns of the grid are swapped"),
        Wrong(wrong_size_times_stride, "sizes are multiplied by the stride, but they are pixels"),
        Wrong(wrong_clipped_to_the_map, "anchors are clipped to the image; they may reach beyond it"),
    ),
    right=(right_four_loops, right_repeated_and_tiled, right_by_products),
)
