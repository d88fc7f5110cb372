"""03 · The FPN."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector import FPN, merge_top_down
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case


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
    with torch.no_grad():
        for one in fpn.parameters():
            drawn = torch.Generator().manual_seed(sum(one.shape))
            one.copy_(torch.randn(one.shape, generator=drawn) / one[0].numel() ** 0.5)
    levels = fpn(maps)
    return {"levels": list(levels) if isinstance(levels, list | tuple) else levels, "shapes of the weights": shapes}


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


class _Hidden(_Variant):
    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__(in_channels, out_channels)
        self.__dict__["smooth"] = list(self._modules.pop("smooth").children())  # type: ignore[union-attr]


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
        Mistake("the layers stand in a plain list, where the optimizer doesn't find them", _Hidden),
    ),
)

EXERCISES = (MERGE, PYRAMID)
