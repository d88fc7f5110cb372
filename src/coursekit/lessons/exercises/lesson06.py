"""06 · RoI features."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector import BoxHead, axis_weights, pool_levels, roi_align
from coursekit.detector.roi import fastest_roi_align, level_for_box
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy


def _axis_cases(generator: torch.Generator) -> Iterator[Case]:
    def edges(*pairs: tuple[float, float]) -> tuple[Tensor, Tensor]:
        low, high = torch.tensor(pairs, dtype=torch.float32).unbind(1)
        return low, high

    yield case("one bin with one sample, on a cell", *edges((1, 3)), 4, 1, 1)
    yield case("one sample between two cells", *edges((1, 2.5)), 4, 1, 1)
    yield case("the two bins of the example", *edges((0, 2)), 4, 2, 1)
    yield case("one bin with two samples", *edges((0, 3)), 4, 1, 2)
    yield case("two bins with two samples each", *edges((0, 4)), 6, 2, 2)
    yield case("three samples in one bin", *edges((0.5, 5)), 6, 1, 3)
    yield case("a box far from 0", *edges((5, 7)), 8, 2, 1)
    yield case("a box narrower than one cell", *edges((2, 2.4)), 5, 2, 1)
    yield case("a box of no width", *edges((1.25, 1.25)), 4, 1, 1)
    yield case("a sample half a cell left of the map", *edges((-1.5, 0.5)), 4, 1, 1)
    yield case("a sample half a cell behind the last one", *edges((3, 4)), 4, 1, 1)
    yield case("samples exactly one cell outside", *edges((-2, 0), (3, 5)), 4, 1, 1)
    yield case("samples far outside, left and right", *edges((-6, -2), (5, 9)), 4, 1, 1)
    yield case("a box half of which is outside", *edges((-4, 4)), 5, 4, 2)
    yield case("three boxes", *edges((0, 3), (2, 9), (1, 1.5)), 9, 3, 2)
    yield case("no box", torch.empty(0), torch.empty(0), 5, 2, 1)
    low = torch.rand(6, generator=generator) * 30 - 3
    yield case("six boxes, 7 bins with 2 samples each", low, low + 20 * torch.rand(6, generator=generator), 30)
    low = low.double()
    yield case("float64", low, low + 9 * torch.rand(6, generator=generator, dtype=torch.float64), 25, 4, 3)


def _tents(points: Tensor, size: int, bins: int, samples: int) -> Tensor:
    """(R, bins*samples) positions → weights, by the right rule for the border."""
    inside = (points >= -1) & (points <= size)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return (tents * inside[..., None]).view(-1, bins, samples, size).mean(2)


def _points(low: Tensor, high: Tensor, bins: int, samples: int, first: float = 0.5, least: float = 1.0) -> Tensor:
    steps = (torch.arange(bins * samples, dtype=low.dtype) + first) / samples
    return low[:, None] + steps * ((high - low).clamp(min=least) / bins)[:, None]


def _from_edge(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return _tents(_points(lo, hi, output_size, sampling_ratio, 0.0), size, output_size, sampling_ratio)


def _edge_to_edge(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    share = torch.linspace(0, 1, output_size * sampling_ratio, dtype=lo.dtype)
    return _tents(lo[:, None] + share * (hi - lo).clamp(min=1.0)[:, None], size, output_size, sampling_ratio)


def _half_a_cell(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return _tents(_points(lo, hi, output_size, sampling_ratio) - 0.5, size, output_size, sampling_ratio)


def _one_sample(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return axis_weights(lo, hi, size, output_size, 1)


def _too_narrow(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return _tents(_points(lo, hi, output_size, sampling_ratio, least=0.0), size, output_size, sampling_ratio)


def _high_for_width(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return axis_weights(lo, lo + hi, size, output_size, sampling_ratio)


def _summed(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return axis_weights(lo, hi, size, output_size, sampling_ratio) * sampling_ratio


def _mixed_bins(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    bin_size = (hi - lo).clamp(min=1.0) / output_size
    steps = (torch.arange(output_size * sampling_ratio, dtype=lo.dtype) + 0.5) / sampling_ratio
    each = _tents(lo[:, None] + steps * bin_size[:, None], size, output_size * sampling_ratio, 1)
    return each.view(-1, sampling_ratio, output_size, size).mean(1)


def _nearest(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    points = _points(lo, hi, output_size, sampling_ratio)
    inside = (points >= -1) & (points <= size)
    near = F.one_hot(points.round().clamp(0, size - 1).long(), size).to(lo.dtype)
    return (near * inside[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


def _fading_border(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    points = _points(lo, hi, output_size, sampling_ratio)
    tents = (1 - (points[..., None] - torch.arange(size)).abs()).clamp(min=0)
    return tents.view(-1, output_size, sampling_ratio, size).mean(2)


def _border_for_all(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    return _tents(_points(lo, hi, output_size, sampling_ratio).clamp(0, size - 1), size, output_size, sampling_ratio)


def _nothing_outside(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    points = _points(lo, hi, output_size, sampling_ratio)
    return _tents(torch.where((points >= 0) & (points <= size - 1), points, -9.0), size, output_size, sampling_ratio)


AXIS = Exercise(
    "axis_weights",
    lesson=6,
    minutes=15,
    reference=axis_weights,
    cases=_axis_cases,
    hints=(
        "“My patch is shifted by half a sample.” Two samples in a bin stand at a quarter and at three quarters of it, one "
        "alone in its middle. Where, then, does sample number k of all bins * samples stand, counted in bins?",
        "“It is right inside, and wrong at the border.” Two things happen outside. A position up to one cell out is moved "
        "to the border before its tent is made: clamp it to 0 … size - 1. One further out has weights of 0 only: remember "
        "which those are *before* you clamp.",
        "“Nearly there.” steps = (torch.arange(bins * samples) + 0.5) / samples; points = low[:, None] + steps * (width of "
        "a bin)[:, None]; the tents are 1 - |points[..., None] - torch.arange(size)|, clamped at 0; then "
        ".view(-1, bins, samples, size).mean(2).",
    ),
    mistakes=(
        Mistake("the first sample stands on the edge of its bin, not half a step inside", _from_edge),
        Mistake("the samples go from edge to edge of the box (linspace), not half a step inside", _edge_to_edge),
        Mistake("all is shifted by half a cell (that is torchvision's aligned=True)", _half_a_cell),
        Mistake("`samples` is not used: one sample a bin", _one_sample),
        Mistake("a box narrower than one cell stays as narrow", _too_narrow),
        Mistake("`high` is taken for the width of the box", _high_for_width),
        Mistake("the samples of a bin are added up, where their mean is asked for", _summed),
        Mistake("samples of different bins are averaged: view(-1, samples, bins, …)", _mixed_bins),
        Mistake("the nearest cell is read, not the two neighbours in parts", _nearest),
        Mistake("a sample less than a cell outside fades away, where it should read the border", _fading_border),
        Mistake("a sample far outside reads the border, where it should read 0", _border_for_all),
        Mistake("every sample outside reads 0, also one less than a cell away", _nothing_outside),
    ),
)


def _coordinates(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(2, H, W): each cell holds its own row and column."""
    rows, columns = torch.arange(height, dtype=dtype), torch.arange(width, dtype=dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def _align_cases(generator: torch.Generator) -> Iterator[Case]:
    where = "cells that hold their own row and column"
    yield case(f"{where}, one bin", _coordinates(5, 8), xyxy((8, 16, 40, 24)), 1 / 8, 1, 1)
    yield case(f"{where}, two bins", _coordinates(5, 8), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)
    yield case(f"{where}, a square map", _coordinates(6, 6), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)
    yield case(f"{where}, a scale of 1", _coordinates(6, 9), xyxy((1, 2, 7, 4)), 1.0, 2, 2)
    yield case(f"{where}, a box between cells", _coordinates(7, 9), xyxy((13, 9, 41, 30)), 1 / 8, 2, 2)
    yield case(f"{where}, two boxes", _coordinates(9, 7), xyxy((16, 0, 32, 48), (0, 8, 48, 16)), 1 / 8, 2, 1)
    yield case(f"{where}, a box half outside", _coordinates(4, 6), xyxy((-32, 8, 32, 72)), 1 / 8, 2, 2)
    yield case(f"{where}, a small box", _coordinates(4, 6), xyxy((9, 9, 11, 12)), 1 / 8, 2, 2)
    yield case("no box", _coordinates(4, 6), torch.empty(0, 4), 1 / 8, 2, 1)
    features = torch.randn(5, 14, 19, generator=generator)
    yield case("five channels, six boxes, 7 bins", features, boxes(generator, 6), 1 / 8)
    yield case("stride 16, 5 bins with 3 samples", features, boxes(generator, 4, width=200), 1 / 16, 5, 3)
    yield case("float64", features.double(), boxes(generator, 3, torch.float64), 1 / 8, 3, 2)
    yield case("features in float64, boxes in float32", _coordinates(5, 8).double(), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)


def _transposed(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, scale, bins, samples).transpose(2, 3)


def _x_for_y(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box[:, [1, 0, 3, 2]], scale, bins, samples)


def _height_for_width(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    x1, y1, x2, y2 = (box * scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[2], bins, samples).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[1], bins, samples).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def _no_scale(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, 1.0, bins, samples)


def _divided(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, 1 / scale, bins, samples)


def _rounded(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, (box * scale).round(), 1.0, bins, samples)


def _always_seven(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, scale)


def _two_samples(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, scale, bins)


def _aligned(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box - 0.5 / scale, scale, bins, samples)


def _channels_last(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    return roi_align(features, box, scale, bins, samples).permute(0, 2, 3, 1)


def _in_place(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    box *= scale
    return roi_align(features, box, 1.0, bins, samples)


def _one_dtype(features: Tensor, box: Tensor, scale: float, bins: int = 7, samples: int = 2) -> Tensor:
    if features.dtype != box.dtype:
        raise RuntimeError("expected scalar type Float but found Double")
    return roi_align(features, box, scale, bins, samples)


ALIGN = Exercise(
    "roi_align",
    lesson=6,
    minutes=15,
    reference=roi_align,
    cases=_align_cases,
    twin=fastest_roi_align,
    library=("torchvision.ops.roi_align", "torchvision.ops.RoIAlign", "torchvision.ops.ps_roi_align"),
    hints=(
        "“Rows and columns are exchanged.” The map is (C, H, W): which edges of a box belong to its rows, those along x or "
        "those along y? And how many cells has each axis?",
        "“The shapes don't fit.” a_y is (R, bins, H), the map (C, H, W), a_x (R, bins, W). H and W are summed away; R, C, "
        "and both bins are left. torch.einsum takes just that, written down: a letter for each axis.",
        "“Nearly there.” x1, y1, x2, y2 = (boxes * scale).unbind(-1); two calls of axis_weights, each .to(features.dtype); "
        'then torch.einsum("rph,chw->rpcw", …), and a second einsum with a_x that ends in "->rcpq".',
    ),
    mistakes=(
        Mistake("each patch is transposed: rows along x", _transposed),
        Mistake("x and y of the boxes are exchanged", _x_for_y),
        Mistake("height and width of the map are exchanged: it works on square maps alone", _height_for_width),
        Mistake("the scale is left out: pixels are taken for cells", _no_scale),
        Mistake("it divides by the scale, which is cells per pixel", _divided),
        Mistake("the box is rounded to whole cells", _rounded),
        Mistake("`bins` and `samples` are not passed on: 7 and 2 whatever is asked", _always_seven),
        Mistake("`samples` is not passed on", _two_samples),
        Mistake("all is shifted by half a cell (that is torchvision's aligned=True)", _aligned),
        Mistake("the channels come last: (R, bins, bins, C)", _channels_last),
        Mistake("it scales the boxes in place (*=), and the caller's are spoiled", _in_place),
        Mistake("weights and features of different dtypes are multiplied", _one_dtype),
    ),
)


def _places(images: int, strides: Sequence[int], height: int = 160, width: int = 256) -> list[Tensor]:
    """Levels whose cells hold their stride, their image, and the row and column of the pixel they stand for."""
    levels = []
    for stride in strides:
        cells = stride * _coordinates(height // stride, width // stride)
        which = torch.arange(images).view(-1, 1, 1, 1).expand(-1, 1, *cells.shape[1:])
        levels.append(torch.cat([torch.full_like(which, stride), which, cells.expand(images, -1, -1, -1)], 1))
    return levels


SMALL, MEDIUM, LARGE = (8, 16, 28, 36), (100, 40, 180, 120), (40, 8, 200, 150)  # √area 20, 80, 151


def _pool_cases(generator: torch.Generator) -> Iterator[Case]:
    def places(words: str, given: Sequence[Tensor], strides: Sequence[int] = (8, 16, 32), *more: Any) -> Case:
        return case(words, _places(len(given), strides), list(strides), list(given), *more)

    yield places("one small box", [xyxy(SMALL)])
    yield places("one large box", [xyxy(LARGE)])
    yield places("a small box, then a large one", [xyxy(SMALL, LARGE)])
    yield places("a large box, then a small one", [xyxy(LARGE, SMALL)])
    yield places("a large, a small and a medium box", [xyxy(LARGE, SMALL, MEDIUM)])
    yield places("a box of just 64 × 64 pixels", [xyxy((40, 40, 104, 104))])
    yield places("two images with a small box each", [xyxy(SMALL), xyxy((60, 60, 80, 80))])
    yield places("two images, large and small each", [xyxy(LARGE, SMALL), xyxy(MEDIUM, (60, 60, 80, 80))])
    yield places("an image without a box between two others", [xyxy(LARGE, SMALL), xyxy(), xyxy(SMALL)])
    yield places("two images, not a box in them", [xyxy(), xyxy()])
    yield places("one level only", [xyxy(LARGE, SMALL)], [16])
    yield places("levels from stride 4 on", [xyxy(LARGE, SMALL, (30, 30, 44, 44))], [4, 8, 16])
    yield places("the paper's canonical size, 224", [xyxy(LARGE, SMALL, MEDIUM)], [8, 16, 32], 224)
    many = [boxes(generator, count, width=150) for count in (7, 4, 9)]
    yield places("twenty boxes in three images", many, [4, 8, 16, 32])
    levels = [torch.randn(2, 3, 160 // stride, 256 // stride, generator=generator) for stride in (8, 16, 32)]
    yield case("random features", levels, [8, 16, 32], [boxes(generator, 5, width=150), boxes(generator, 3, width=150)])


def _use_pool(answer: Answer, levels: list[Tensor], strides: list[int], given: list[Tensor], *more: Any) -> Any:
    """What a pooling gives, and first in words for people: what each patch has read, as the mean over its cells."""
    patches = answer(levels, strides, given, *more)
    if not isinstance(patches, Tensor):
        raise TypeError(f"pool_levels(…) should give one tensor, and gave a {type(patches).__name__}")
    if patches.ndim != 4 or patches.shape[1] != 4:
        return {"patches": patches}
    return {"read by each patch (stride, image, y, x)": patches.mean((2, 3)), "patches": patches}


def _pooled(
    levels: Sequence[Tensor],
    strides: Sequence[int],
    given: Sequence[Tensor],
    canonical_scale: float,
    *,
    use_scale: str = "right",
    order: str = "right",
) -> Tensor:
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches, places, start = [], [], 0
    for image, in_image in enumerate(given):
        level_of = level_for_box(in_image, finest, coarsest, canonical_scale) - finest
        for level, (features, stride) in enumerate(zip(levels, strides, strict=True)):
            here = torch.where(level_of == level)[0]
            scale = {"right": 1 / stride, "finest": 1 / strides[0], "stride": stride}[use_scale]
            patches.append(roi_align(features[image], in_image[here], scale))
            places.append(here + start)
        start += len(in_image) if order != "restarts" else 0
    found, place = torch.cat(patches), torch.cat(places)
    if order == "none":
        return found
    return found[place] if order == "inverse" else found[place.argsort(stable=True)]


def _unordered(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return _pooled(levels, strides, given, canonical_scale, order="none")


def _inverse(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return _pooled(levels, strides, given, canonical_scale, order="inverse")


def _restarts(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return _pooled(levels, strides, given, canonical_scale, order="restarts")


def _by_stride(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return _pooled(levels, strides, given, canonical_scale, use_scale="stride")


def _one_scale(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return _pooled(levels, strides, given, canonical_scale, use_scale="finest")


def _finest_only(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return pool_levels(levels[:1], strides[:1], given, canonical_scale)


def _first_image(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return pool_levels([one[:1].expand_as(one) for one in levels], strides, given, canonical_scale)


def _from_three(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    patches = torch.zeros(sum(map(len, given)), levels[0].shape[1], 7, 7)
    start = 0
    for image, in_image in enumerate(given):
        level_of = level_for_box(in_image, 3, 5, canonical_scale) - 3
        for level in range(len(levels)):
            here = torch.where(level_of == level)[0]
            patches[start + here] = roi_align(levels[level][image], in_image[here], 1 / strides[level])
        start += len(in_image)
    return patches


def _always_64(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    return pool_levels(levels, strides, given)


def _upside_down(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = torch.zeros(sum(map(len, given)), levels[0].shape[1], 7, 7)
    row = 0
    for image, in_image in enumerate(given):
        for box, level in zip(in_image, level_for_box(in_image, finest, coarsest, canonical_scale), strict=True):
            at = coarsest - int(level)
            patches[row] = roi_align(levels[at][image], box[None], 1 / strides[at])[0]
            row += 1
    return patches


def _no_boxes(levels: Any, strides: Any, given: Any, canonical_scale: float = 64) -> Tensor:
    if not sum(map(len, given)):
        raise RuntimeError("stack expects a non-empty TensorList")
    return pool_levels(levels, strides, given, canonical_scale)


POOL = Exercise(
    "pool_levels",
    lesson=6,
    minutes=15,
    reference=pool_levels,
    cases=_pool_cases,
    call=_use_pool,
    library=("torchvision.ops.MultiScaleRoIAlign",),
    hints=(
        "“The right patches, at the wrong boxes.” Level by level, the patches come sorted by level. Keep for each of them the "
        "place of its box among all boxes of all images. With those numbers, how do you put the patches back?",
        "“The second image has those of the first.” Two things change from image to image: features[image], and how many "
        "boxes came before. And from level to level: the map, and its scale, 1 / stride. Level numbers begin at that of "
        "strides[0], 3 for a stride of 8 (2 ** 3).",
        "“Nearly there.” patches = features.new_zeros(total, C, 7, 7); for each image its boxes' level numbers; for each level "
        "here = torch.where(level_of == number)[0], and patches[start + here] = roi_align(features[image], in_image[here], "
        "1 / stride); after an image start += len(in_image). (8).bit_length() - 1 is 3.",
    ),
    mistakes=(
        Mistake("the patches come level by level, not in the order of the boxes", _unordered),
        Mistake(
            "they are put back by the places, where argsort of the places is wanted: right for two boxes", _inverse
        ),
        Mistake("the places begin at 0 again with each image", _restarts),
        Mistake("the scale is the stride, not 1 / stride", _by_stride),
        Mistake("every level is read with the scale of the finest", _one_scale),
        Mistake("all boxes read the finest level", _finest_only),
        Mistake("all boxes read the first image", _first_image),
        Mistake("levels 3 to 5 are built in, whatever the strides are", _from_three),
        Mistake("canonical_scale is not passed on", _always_64),
        Mistake("small boxes read the coarsest level, large ones the finest", _upside_down),
        Mistake("it fails where there is no box at all", _no_boxes),
    ),
)


def _head_cases(generator: torch.Generator) -> Iterator[Case]:
    def patches(count: int, channels: int, bins: int) -> Tensor:
        return torch.randn(count, channels, bins, bins, generator=generator)

    yield case("one patch of one cell", 2, 1, 3, 1, patches(1, 2, 1))
    yield case("one patch of 2 × 2 cells", 2, 2, 6, 2, patches(1, 2, 2))
    yield case("three patches, three classes", 3, 3, 10, 2, patches(3, 3, 2))
    yield case("5 × 5 cells, seven classes", 2, 7, 14, 5, patches(4, 2, 5))
    yield case("patches of 7 × 7 cells", 4, 5, 20, 7, patches(2, 4, 7))
    yield case("no patch", 3, 3, 10, 2, patches(0, 3, 2))
    yield case("`hidden` and `bins` left at 256 and 7", 1, 2, None, None, patches(2, 1, 7))


def _use_head(
    answer: Answer, channels: int, num_classes: int, hidden: int | None, bins: int | None, patches: Tensor
) -> Any:
    """What a head makes of patches, with weights that tell its layers apart by their shapes alone."""
    sizes = [one for one in (hidden, bins) if one is not None]
    head = answer(channels, num_classes, *sizes)
    if not isinstance(head, nn.Module):
        raise TypeError(f"BoxHead(…) should make an nn.Module, and made a {type(head).__name__}")
    shapes = sorted(tuple(one.shape) for one in head.parameters())
    with torch.no_grad():
        for one in head.parameters():
            drawn = torch.Generator().manual_seed(sum(one.shape))
            one.copy_(torch.randn(one.shape, generator=drawn) / one[0].numel() ** 0.5)
    came = head(patches)
    if isinstance(came, tuple | list) and len(came) == 2:
        return {"logits": came[0], "deltas": came[1], "shapes of the weights": shapes}
    return {"answer": came, "shapes of the weights": shapes}


class _Head(BoxHead):
    """The reference, of which a mistake changes a part."""

    def felt(self, patches: Tensor) -> Tensor:
        return self.second(self.first(patches.flatten(1)).relu()).relu()


class _NoBackground(_Head):
    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__(channels, num_classes - 1, hidden, output_size)


class _OneBox(_Head):
    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__(channels, num_classes, hidden, output_size)
        self.deltas = nn.Linear(hidden, 4)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.felt(patches)
        return self.classes(x), self.deltas(x)


class _FourFirst(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(patches)
        return logits, deltas.reshape(len(logits), 4, logits.shape[1]).transpose(1, 2)


class _FlatDeltas(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(patches)
        return logits, deltas.flatten(1)


class _NoRelu(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.second(self.first(patches.flatten(1)))
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class _OneRelu(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.second(self.first(patches.flatten(1)).relu())
        logits = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


class _ReluAtTheEnd(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(patches)
        return logits.relu(), deltas.relu()


class _Softmax(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(patches)
        return logits.softmax(1), deltas


class _OneLayer(_Head):
    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__(channels, num_classes, hidden, output_size)
        self.second = nn.Identity()  # type: ignore[assignment]


class _MeanOfPatch(_Head):
    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__(channels, num_classes, hidden, 1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(patches.mean((2, 3), keepdim=True))


class _Seven(_Head):
    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__(channels, num_classes, hidden, 7)


class _DeltasFirst(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(patches)
        return deltas, logits


class _GuessedShape(_Head):
    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.felt(patches)
        return self.classes(x), self.deltas(x).view(len(x), -1, 4)


HEAD = Exercise(
    "BoxHead",
    lesson=6,
    minutes=10,
    reference=BoxHead,
    cases=_head_cases,
    call=_use_head,
    library=(
        "torchvision.models.detection.faster_rcnn.TwoMLPHead",
        "torchvision.models.detection.faster_rcnn.FastRCNNPredictor",
    ),
    tolerance=1e-4,
    hints=(
        "“The weights have other shapes.” Four linear layers. The first reads all numbers of a patch, so how many are those? "
        "The last two stand side by side, both read `hidden` numbers; one of them gives four for every class.",
        "“The weights are right, the values are not.” A ReLU after the first layer and one after the second, none after the "
        "last two: logits may be negative, deltas too. And the four numbers of a class stand together.",
        "“Nearly there.” x = patches.flatten(1), two times layer and .relu(); logits = self.classes(x); deltas = "
        "self.deltas(x).view(*logits.shape, 4). Written so, it also takes no patch at all: -1 can't be guessed there.",
    ),
    mistakes=(
        Mistake("there is no background: K numbers where K + 1 are asked for", _NoBackground),
        Mistake("one box for all classes, where each class has its own", _OneBox),
        Mistake("the deltas are (4, K + 1) turned round: the four numbers of a class stand together", _FourFirst),
        Mistake("the deltas are flat: (R, 4 (K + 1)), not (R, K + 1, 4)", _FlatDeltas),
        Mistake("there is no ReLU: two linear layers in a row are one", _NoRelu),
        Mistake("the ReLU after the second layer is missing", _OneRelu),
        Mistake("a ReLU at the end: nothing can be negative any more", _ReluAtTheEnd),
        Mistake("a softmax at the end: the loss does that by itself, and it would be done twice", _Softmax),
        Mistake("there is only one hidden layer", _OneLayer),
        Mistake("each patch is averaged before it is read: where things are in it is lost", _MeanOfPatch),
        Mistake("7 × 7 is built in, whatever `bins` is", _Seven),
        Mistake("the deltas come first, the logits second", _DeltasFirst),
        Mistake("it fails on no patch at all: view(0, -1, 4) can't guess the -1", _GuessedShape),
    ),
)

EXERCISES = (AXIS, ALIGN, POOL, HEAD)
