"""03 · The FPN."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector import FPN, merge_top_down
from coursekit.detector.roi import level_for_box
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy


def _merge_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("zeros under one cell", torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), 3.0))
    yield case("a map twice as large", torch.zeros(1, 1, 4, 4), torch.arange(4.0).reshape(1, 1, 2, 2))
    yield case("two maps that hold something", *_two(generator, (4, 6), (2, 3)))
    yield case("an odd height: 5 over 3", *_two(generator, (5, 8), (3, 4)))
    yield case("an odd width: 7 over 4", *_two(generator, (6, 7), (3, 4)))
    yield case("two images and three channels", *_two(generator, (9, 5), (5, 3), 2))


def _two(generator: torch.Generator, fine: Sequence[int], coarse: Sequence[int], images: int = 1) -> list[Tensor]:
    return [torch.randn(images, 3, *size, generator=generator) for size in (fine, coarse)]


def _by_two(fine: Tensor, coarse: Tensor) -> Tensor:
    return fine + F.interpolate(coarse, scale_factor=2, mode="nearest")


def _bilinear(fine: Tensor, coarse: Tensor) -> Tensor:
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)


def _product(fine: Tensor, coarse: Tensor) -> Tensor:
    return fine * F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def _only_coarse(fine: Tensor, coarse: Tensor) -> Tensor:
    return F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def _pooled(fine: Tensor, coarse: Tensor) -> Tensor:
    return coarse + F.adaptive_max_pool2d(fine, coarse.shape[-2:])


def _added_in_place(fine: Tensor, coarse: Tensor) -> Tensor:
    fine += F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
    return fine


MERGE = Exercise(
    "merge_top_down",
    lesson=3,
    minutes=15,
    reference=merge_top_down,
    cases=_merge_cases,
    hints=(
        "“It works, until a height is odd.” 5 rows over 3: twice 3 is 6. What is it that you know for certain about the "
        "size of the result?",
        "“The values are nearly right.” Nearest neighbour: each cell is repeated, nothing is blended.",
        "“Which function?” torch.nn.functional.interpolate(coarse, size=…, mode=…) gives a map of any size; add it to fine, "
        "and return a new tensor.",
    ),
    mistakes=(
        Mistake("scale_factor=2, which misses by a row where the height is odd", _by_two),
        Mistake("it blends neighbours (bilinear), where each cell is to be repeated (nearest)", _bilinear),
        Mistake("it multiplies where it should add", _product),
        Mistake("the fine map is lost on the way", _only_coarse),
        Mistake("the fine map is made small, where the coarse one should be made large", _pooled),
        Mistake("it adds in place (+=), and the backbone's map is overwritten", _added_in_place),
    ),
)


def _fpn_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one level", (5,), 4, *_maps(generator, (5,), (4, 4)))
    yield case("two levels", (3, 5), 4, *_maps(generator, (3, 5), (4, 4)))
    yield case("three levels", (3, 5, 7), 4, *_maps(generator, (3, 5, 7), (8, 12)))
    yield case("four levels of odd sizes, two images", (3, 5, 7, 9), 6, *_maps(generator, (3, 5, 7, 9), (27, 37), 2))


def _maps(generator: torch.Generator, channels: Sequence[int], size: tuple[int, int], images: int = 1) -> list[Any]:
    """A backbone's maps, each half as large as the one before, rounded up."""
    maps, (height, width) = [], size
    for count in channels:
        maps.append(torch.randn(images, count, height, width, generator=generator))
        height, width = -(-height // 2), -(-width // 2)
    return [maps]


def _use_fpn(answer: Answer, in_channels: Sequence[int], out_channels: int, maps: list[Tensor]) -> Any:
    """What a pyramid makes of maps, with weights that tell its layers apart by their shapes alone.

    Whatever an answer calls its layers and in which order it makes them, those of one shape get the same weights.
    """
    fpn = answer(list(in_channels), out_channels)
    if not isinstance(fpn, nn.Module):
        raise TypeError(f"FPN(…) should make an nn.Module, and made a {type(fpn).__name__}")
    shapes = sorted(tuple(one.shape) for one in fpn.parameters())
    meant = [(out_channels, count, 1, 1) for count in in_channels] + [(out_channels,)] * 2 * len(in_channels)
    if shapes != sorted([*meant, *[(out_channels, out_channels, 3, 3)] * len(in_channels)]):
        return {"weights and biases that parameters() gives": [str(list(shape)) for shape in shapes]}
    with torch.no_grad():
        for one in fpn.parameters():
            drawn = torch.Generator().manual_seed(sum(one.shape))
            one.copy_(torch.randn(one.shape, generator=drawn) / one[0].numel() ** 0.5)
    levels = fpn(maps)
    if not isinstance(levels, list | tuple):
        raise TypeError(f"forward should give a list of levels, and gave a {type(levels).__name__}")
    names = [f"level {place} of {len(levels)}, finest first" for place in range(len(levels))]
    return {"weights and biases that parameters() gives": [str(list(one)) for one in shapes]} | dict(
        zip(names, levels, strict=True)
    )


class _Variant(FPN):
    """The reference, of which a mistake changes a part."""


class _NoTopDown(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [smooth(lateral(one)) for smooth, lateral, one in zip(self.smooth, self.lateral, maps, strict=True)]


class _NoSmoothing(_Variant):
    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__(in_channels, out_channels)
        self.smooth = nn.ModuleList(nn.Identity() for _ in in_channels)


class _SmoothedFirst(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        levels = [smooth(lateral(one)) for smooth, lateral, one in zip(self.smooth, self.lateral, maps, strict=True)]
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = merge_top_down(levels[fine], levels[fine + 1])
        return levels


class _OneStep(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        flat = [lateral(one) for lateral, one in zip(self.lateral, maps, strict=True)]
        merged = [merge_top_down(fine, coarse) for fine, coarse in itertools.pairwise(flat)]
        return [smooth(one) for smooth, one in zip(self.smooth, [*merged, flat[-1]], strict=True)]


class _Reversed(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return super().forward(maps)[::-1]


class _WithRelu(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [level.relu() for level in super().forward(maps)]


class _BottomUp(_Variant):
    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        merged = [lateral(one) for lateral, one in zip(self.lateral, maps, strict=True)]
        for coarse in range(1, len(merged)):
            merged[coarse] = merged[coarse] + F.adaptive_max_pool2d(merged[coarse - 1], merged[coarse].shape[-2:])
        return [smooth(one) for smooth, one in zip(self.smooth, merged, strict=True)]


class _Shared(_Variant):
    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__(in_channels, out_channels)
        self.smooth = nn.ModuleList([self.smooth[0]] * len(in_channels))


class _NoBias(_Variant):
    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__(in_channels, out_channels)
        for layer in (*self.lateral, *self.smooth):
            layer.bias = None


class _Hidden(_Variant):
    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__(in_channels, out_channels)
        for name in ("lateral", "smooth"):
            self.__dict__[name] = list(self._modules.pop(name).children())  # type: ignore[union-attr]


PYRAMID = Exercise(
    "FPN",
    lesson=3,
    minutes=20,
    reference=FPN,
    cases=_fpn_cases,
    call=_use_fpn,
    library=("torchvision.ops.FeaturePyramidNetwork",),
    tolerance=1e-4,
    hints=(
        "“My finest level knows nothing of the coarsest.” From the top down, one level at a time, each adds what is *already "
        "merged* above it. In which direction must the loop run?",
        "“The weights have other shapes.” Two lists of layers: for each map a 1 × 1 convolution from its channels to "
        "out_channels, and for each level a 3 × 3 one with padding=1 from out_channels to out_channels, all with bias. In an "
        "nn.ModuleList: a plain list hides them from the optimizer.",
        "“Nearly there.” merged = [lateral(one) for …]; for fine in reversed(range(len(merged) - 1)): merged[fine] = "
        "merge_top_down(merged[fine], merged[fine + 1]); then smooth each level, and only then. Finest first.",
    ),
    mistakes=(
        Mistake("there is no top-down path: every level knows only its own map", _NoTopDown),
        Mistake("nothing is smoothed at the end", _NoSmoothing),
        Mistake("smoothed before merging: the 3 × 3 convolutions come last", _SmoothedFirst),
        Mistake(
            "each level adds its neighbour before that one was merged: the loop must go from the top down", _OneStep
        ),
        Mistake("the levels come out coarsest first", _Reversed),
        Mistake("a ReLU at the end: a pyramid is linear", _WithRelu),
        Mistake("it merges from the bottom up", _BottomUp),
        Mistake("all levels share one smoothing convolution", _Shared),
        Mistake("the layers have no bias", _NoBias),
        Mistake("the layers stand in a plain list, where the optimizer doesn't find them", _Hidden),
    ),
)


def _level_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a box of just the canonical size", xyxy((0, 0, 64, 64)), 3, 5)
    yield case("one of half that size", xyxy((0, 0, 32, 32)), 3, 5)
    yield case(
        "one a pixel short of twice that size, and one of just twice", xyxy((0, 0, 127, 127), (0, 0, 128, 128)), 3, 5
    )
    yield case("a small box far from the corner", xyxy((200, 150, 220, 170)), 2, 5)
    yield case("a wide box and a tall one", xyxy((0, 0, 256, 16), (0, 0, 16, 64)), 3, 5)
    yield case("a tiny box and a huge one", xyxy((0, 0, 2, 2), (0, 0, 900, 900)), 3, 5)
    yield case("a box of no area", xyxy((30, 30, 30, 50)), 3, 5)
    yield case("the paper's levels and its 224", xyxy((0, 0, 100, 100), (0, 0, 224, 224), (9, 9, 600, 600)), 2, 5, 224)
    yield case("another level for the canonical size", xyxy((0, 0, 40, 40), (0, 0, 100, 100)), 2, 7, 40, 5)
    yield case("one level only", xyxy((0, 0, 5, 5), (0, 0, 300, 300)), 4, 4)
    yield case("no box at all", torch.empty(0, 4), 3, 5)
    yield case("many boxes", boxes(generator, 40, width=400), 2, 6)


def _leveled(size: Tensor, finest: int, coarsest: int) -> Tensor:
    """Sizes in canonical ones → levels, by the right rule for level 4."""
    return torch.floor(4 + torch.log2(size) + 1e-6).clamp(finest, coarsest).to(torch.int64)


def _sides(box: Tensor) -> Tensor:
    return box[:, 2:] - box[:, :2]


def _area_for_size(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return _leveled(_sides(box).prod(1) / canonical_scale**2, finest, coarsest) + 0 * at_level


def _natural_log(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.floor(at_level + torch.log(_sides(box).prod(1).sqrt() / canonical_scale))
    return level.clamp(finest, coarsest).to(torch.int64)


def _rounded(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.round(at_level + torch.log2(_sides(box).prod(1).sqrt() / canonical_scale))
    return level.clamp(finest, coarsest).to(torch.int64)


def _rounded_up(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.ceil(at_level + torch.log2(_sides(box).prod(1).sqrt() / canonical_scale))
    return level.clamp(finest, coarsest).to(torch.int64)


def _longer_side(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.floor(at_level + torch.log2(_sides(box).amax(1) / canonical_scale) + 1e-6) if len(box) else box[:, 0]
    return level.clamp(finest, coarsest).to(torch.int64)


def _mean_side(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.floor(at_level + torch.log2(_sides(box).mean(1) / canonical_scale) + 1e-6)
    return level.clamp(finest, coarsest).to(torch.int64)


def _far_corner(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(torch.cat([0 * box[:, 2:], box[:, 2:]], 1), finest, coarsest, canonical_scale, at_level)


def _upside_down(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    level = torch.floor(at_level + torch.log2(canonical_scale / _sides(box).prod(1).sqrt()))
    return level.clamp(finest, coarsest).to(torch.int64)


def _unclamped(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(box, -99, 99, canonical_scale, at_level)


def _from_zero(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(box, finest, coarsest, canonical_scale, at_level) - finest


def _always_64(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(box, finest, coarsest)


def _always_224(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(box, finest, coarsest, 224, at_level)


def _fractions(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    return level_for_box(box, finest, coarsest, canonical_scale, at_level).float()


def _by_math(box: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, at_level: int = 4) -> Tensor:
    sizes = _sides(box).prod(1).sqrt().tolist()
    levels = [math.floor(at_level + math.log2(size / canonical_scale) + 1e-6) for size in sizes]
    return torch.tensor([min(max(level, finest), coarsest) for level in levels], dtype=torch.int64)


LEVEL = Exercise(
    "level_for_box",
    lesson=3,
    minutes=15,
    reference=level_for_box,
    cases=_level_cases,
    hints=(
        "“Wide boxes land on another level than expected.” The size of a box is one number for both sides: the side of the "
        "square of the same area. What is it for a box of 256 × 16?",
        "“I am off by a level here and there.” How often does the canonical size have to be doubled to reach the size of "
        "the box? That is a logarithm to the base 2, negative for small boxes, and it is rounded down, never to the nearest.",
        "“Nearly there.” size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt(); torch.floor(at_level + torch.log2(size / …)); then "
        "clamp(finest, coarsest), then to(torch.int64). torch.log2(0) is -inf, and clamp takes care of that.",
    ),
    mistakes=(
        Mistake("the square root is missing: an area grows two levels where its side grows one", _area_for_size),
        Mistake("the logarithm is the natural one; each level doubles, so the base is 2", _natural_log),
        Mistake("it rounds to the nearest level, not down", _rounded),
        Mistake("it rounds up, not down", _rounded_up),
        Mistake("it takes the longer side for the size, not the root of the area", _longer_side),
        Mistake("it takes the mean of both sides for the size, not the root of the area", _mean_side),
        Mistake("the far corner is taken for width and height", _far_corner),
        Mistake("the ratio stands upside down: large boxes go to the finest level", _upside_down),
        Mistake("nothing keeps the level between finest and coarsest", _unclamped),
        Mistake("levels are counted from 0, not from finest", _from_zero),
        Mistake("canonical_scale and at_level are not used", _always_64),
        Mistake("the paper's 224 is built in", _always_224),
        Mistake("the levels are fractions (float), not whole numbers", _fractions),
        Mistake("a box of no area crashes it: math.log2(0) raises an error", _by_math),
    ),
)

EXERCISES = (MERGE, PYRAMID, LEVEL)
