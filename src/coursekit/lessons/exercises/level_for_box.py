"""Exercise 3.3: which level of the pyramid each box reads."""

import math
from collections.abc import Iterator
from functools import partial

import torch

from coursekit.detector.roi import level_for_box
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import index_anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a box of the canonical size", xyxy((0, 0, 64, 64)), 3, 5)
    yield case("a box of half that size", xyxy((0, 0, 32, 32)), 3, 5)
    nearly, twice = (0, 0, 127, 127), (0, 0, 128, 128)
    yield case("a box of twice that size, and one a pixel smaller", xyxy(nearly, twice), 3, 5)
    yield case("a small box far from the corner", xyxy((200, 150, 220, 170)), 2, 5)
    yield case("a wide box and a tall one", xyxy((0, 0, 256, 16), (0, 0, 16, 64)), 3, 5)
    yield case("a tiny box and a huge one", xyxy((0, 0, 2, 2), (0, 0, 900, 900)), 3, 5)
    yield case("a box without area", xyxy((30, 30, 30, 50)), 3, 5)
    three = xyxy((0, 0, 100, 100), (0, 0, 224, 224), (9, 9, 600, 600))
    yield case("the paper's levels and its canonical size, 224", three, 2, 5, 224)
    yield case("another canonical level", xyxy((0, 0, 40, 40), (0, 0, 100, 100)), 2, 7, 40, 5)
    yield case("a single level", xyxy((0, 0, 5, 5), (0, 0, 300, 300)), 4, 4)
    yield case("no boxes", torch.empty(0, 4), 3, 5)
    yield case("a box of half a pixel, and levels from 0 on", xyxy((4, 4, 4.5, 4.5), (0, 0, 3, 3)), 0, 5)
    yield case("float64", xyxy((0, 0, 128, 128), (0, 0, 20, 300)).double(), 3, 5)
    yield case("forty boxes", case_inputs.boxes(generator, 40, width=400), 2, 6)
    yield on_a_gpu(three, 2, 5)


# Wrong answers


def _size(sides):
    return sides.prod(1).sqrt()


def _level(
    boxes,
    finest,
    coarsest,
    canonical_scale=64,
    canonical_level=4,
    *,
    size=_size,
    log=torch.log2,
    rounded=torch.floor,
):
    """Give the right answer, unless a piece of it is changed."""
    ratio = size(boxes[:, 2:] - boxes[:, :2]) / canonical_scale
    return rounded(canonical_level + log(ratio)).clamp(finest, coarsest).to(torch.int64)


def wrong_rounds_to_the_nearest(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.round(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_corner_for_width_and_height(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = boxes[:, 2:].prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).clamp(finest, coarsest).long()


def wrong_not_clamped(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(size / canonical_scale)).long()


def wrong_clamped_to_other_levels(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, -99, 99, canonical_scale, canonical_level)


def wrong_upside_down(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return torch.floor(canonical_level + torch.log2(canonical_scale / size)).clamp(finest, coarsest).long()


def wrong_index_into_the_list(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, canonical_scale, canonical_level) - finest


def wrong_always_64(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest)


def wrong_always_224(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, 224, canonical_level)


def wrong_floats(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, canonical_scale, canonical_level).float()


def wrong_fails_without_area(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    levels = []
    for x1, y1, x2, y2 in boxes.tolist():
        level = math.floor(canonical_level + math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / canonical_scale))
        levels.append(min(max(level, finest), coarsest))
    return torch.tensor(levels, dtype=torch.int64)


def wrong_rounded_toward_0(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    steps = torch.log2(size / canonical_scale).clamp(-99, 99).to(torch.int64)
    return (canonical_level + steps).clamp(finest, coarsest)


def wrong_no_lower_limit(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, -(2**62), coarsest, canonical_scale, canonical_level)


def wrong_no_upper_limit(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, 2**62, canonical_scale, canonical_level)


def wrong_limit_belongs_to_the_finer(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, canonical_scale, canonical_level, rounded=lambda x: torch.ceil(x) - 1)


def wrong_int32(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, canonical_scale, canonical_level).int()


def wrong_side_of_a_box_alone(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return _level(boxes, finest, coarsest, canonical_scale, canonical_level, size=lambda sides: sides.amin(1))


def wrong_strides(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return 2 ** _level(boxes, finest, coarsest, canonical_scale, canonical_level)


def wrong_area_over_the_scale(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return torch.floor(canonical_level + torch.log2(area / canonical_scale)).clamp(finest, coarsest).long()


def wrong_area_over_its_square(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return torch.floor(canonical_level + torch.log2(area / canonical_scale**2)).clamp(finest, coarsest).long()


def wrong_area_and_always_level_4(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    return wrong_area_over_its_square(boxes, finest, coarsest, canonical_scale)


# Right answers


def right_by_half_the_logarithm_of_the_area(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    level = canonical_level + 0.5 * torch.log2(width * height / canonical_scale**2)
    return level.floor().clamp(min=finest, max=coarsest).long()


def right_by_counting_limits(boxes, finest, coarsest, canonical_scale=64, canonical_level=4):
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    level = torch.full_like(area, finest, dtype=torch.int64)
    for k in range(finest + 1, coarsest + 1):
        level += area >= (canonical_scale * 2.0 ** (k - canonical_level)) ** 2
    return level


EXERCISE = Exercise(
    "level_for_box",
    lesson=3,
    minutes=15,
    reference=level_for_box,
    cases=cases,
    call=index_anywhere,
    hints=(
        "“Wide boxes get another level than expected.” The size of a box is one number: the side of the square with the same "
        "area. What is it for a box of 256 × 16 pixels?",
        "“I am off by a level here and there.” How often must you double canonical_scale to reach the size of the box? That "
        "is a logarithm to base 2, negative for small boxes. Round it down, never to the nearest.",
        "“Nearly there.” size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt(); torch.floor(canonical_level + torch.log2(size / "
        "canonical_scale)); then clamp(finest, coarsest), then to(torch.int64). torch.log2(0) is -inf, and clamp handles that.",
    ),
    wrong=(
        Wrong(wrong_rounds_to_the_nearest, "it rounds to the nearest level, not down"),
        Wrong(wrong_corner_for_width_and_height, "x2 and y2 are taken for width and height"),
        Wrong(wrong_not_clamped, "the level is not clamped to finest … coarsest"),
        Wrong(
            wrong_area_over_its_square, "the square root is missing: doubling the side of a box would add two levels"
        ),
        Wrong(
            partial(_level, log=torch.log), "the logarithm is the natural one, but each level doubles, so the base is 2"
        ),
        Wrong(partial(_level, rounded=torch.ceil), "it rounds up, not down"),
        Wrong(
            partial(_level, size=lambda sides: sides.amax(1)),
            "size is the longer side, not the square root of the area",
        ),
        Wrong(
            partial(_level, size=lambda sides: sides.mean(1)),
            "size is the mean of both sides, not the square root of the area",
        ),
        Wrong(wrong_upside_down, "the ratio is upside down, so large boxes go to the finest level"),
        Wrong(wrong_index_into_the_list, "levels start at 0, not at finest"),
        Wrong(wrong_always_64, "canonical_scale and canonical_level are ignored"),
        Wrong(wrong_always_224, "canonical_scale is always the paper's 224"),
        Wrong(wrong_floats, "the levels are floats, not int64"),
        Wrong(wrong_fails_without_area, "it fails on a box without area: math.log2(0) raises an error"),
        Wrong(wrong_rounded_toward_0, "it rounds toward 0, where it should round down: the logarithm may be negative"),
        Wrong(wrong_limit_belongs_to_the_finer, "a box exactly at a limit is on the finer level, not on the coarser"),
        Wrong(wrong_side_of_a_box_alone, "size is the shorter side, not the square root of the area"),
        Wrong(wrong_no_lower_limit, "the level may be below finest"),
        Wrong(wrong_no_upper_limit, "the level may be above coarsest"),
        Wrong(wrong_int32, "the levels are int32, not int64"),
        Wrong(wrong_strides, "it returns strides, not levels"),
        Wrong(wrong_clamped_to_other_levels),
        Wrong(wrong_area_over_the_scale),
        Wrong(wrong_area_and_always_level_4),
        Wrong(partial(_level, size=lambda sides: sides[:, 0])),
        Wrong(partial(_level, size=lambda sides: sides.norm(dim=1))),
        Wrong(partial(_level, log=lambda ratio: torch.log2(1 + ratio))),
    ),
    right=(right_by_half_the_logarithm_of_the_area, right_by_counting_limits),
)
