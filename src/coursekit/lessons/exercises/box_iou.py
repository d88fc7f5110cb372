"""Exercise 0.2: the intersection over union of each box with each."""

from collections.abc import Iterator
from functools import partial

import torch

from coursekit.detector.boxes import box_iou
from coursekit.lessons import inputs
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.inputs import xyxy


def cases(generator: torch.Generator) -> Iterator[Case]:
    unit = xyxy((0, 0, 10, 10))
    yield case("a box with itself", unit, unit)
    yield case("a box and a copy shifted by half its width", unit, xyxy((5, 0, 15, 10)))
    yield case("two boxes apart in x and in y", unit, xyxy((20, 20, 30, 30)))
    yield case("two boxes apart in x only", unit, xyxy((20, 0, 30, 10)))
    yield case("two boxes apart in y only", unit, xyxy((0, 20, 10, 30)))
    yield case("two boxes that touch", unit, xyxy((10, 0, 20, 10)))
    yield case("a box inside another", unit, xyxy((2, 3, 4, 9)))
    yield case("a wide box and a tall one, with negative coordinates", xyxy((-8, 2, 20, 6)), xyxy((1, -30, 3, 40)))
    yield case("boxes smaller than a pixel", xyxy((0, 0, 0.5, 0.5)), xyxy((0.25, 0, 0.75, 0.5)))
    yield case("two boxes without area, in the same place", xyxy((3, 3, 3, 3)), xyxy((3, 3, 3, 3), (0, 0, 9, 9)))
    yield case("two boxes and three", inputs.boxes(generator, 2), inputs.boxes(generator, 3))
    yield case("no boxes and three", torch.empty(0, 4), inputs.boxes(generator, 3))
    yield case("three boxes and none", inputs.boxes(generator, 3), torch.empty(0, 4))
    yield case(
        "many boxes, in float64",
        inputs.boxes(generator, 40, torch.float64),
        inputs.boxes(generator, 30, torch.float64),
    )


# Wrong answers


def _sides(first, second):
    """Return width and height of each intersection, (N, M, 2); negative where boxes are apart."""
    return torch.minimum(first[:, None, 2:], second[:, 2:]) - torch.maximum(first[:, None, :2], second[:, :2])


def _area(boxes):
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def _union(first, second, shared):
    return _area(first)[:, None] + _area(second) - shared


def _ratio(shared, whole, smallest=None):
    return shared / whole.clamp(min=smallest or torch.finfo(whole.dtype).tiny)


def _iou(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, _union(first, second, shared))


def wrong_clamps_nothing(first, second, smallest=None):
    shared = _sides(first, second).prod(2)
    return _ratio(shared, _union(first, second, shared), smallest)


def wrong_clamps_the_area_not_the_sides(first, second, smallest=None):
    shared = _sides(first, second).prod(2).clamp(min=0)
    return _ratio(shared, _union(first, second, shared), smallest)


def wrong_counts_what_is_shared_twice(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, _area(first)[:, None] + _area(second))


def wrong_divides_by_the_smaller_box(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, torch.minimum(_area(first)[:, None], _area(second)))


def wrong_divides_by_the_first_box(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, _area(first)[:, None].expand_as(shared))


def wrong_nan_without_area(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return shared / _union(first, second, shared)


def wrong_large_epsilon(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return shared / (_union(first, second, shared) + 1e-2)


def wrong_adds_a_pixel(first, second):
    first, second = (torch.cat([boxes[:, :2], boxes[:, 2:] + 1], 1) for boxes in (first, second))
    return _iou(first, second)


def wrong_pairs(first, second):
    count = min(len(first), len(second))
    return _iou(first[:count], second[:count]).diagonal()


def wrong_pairs_of_equal_lists(first, second):
    sides = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    shared = sides.clamp(min=0).prod(1)
    return shared / (_area(first) + _area(second) - shared)


def wrong_transposed(first, second):
    return _iou(second, first)


def wrong_takes_the_corner_for_width_and_height(first, second):
    first, second = (torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) for boxes in (first, second))
    return _iou(first, second)


def wrong_always_float32(first, second):
    return _iou(first.float(), second.float())


def wrong_in_place(first, second):
    first -= first.min() if len(first) else 0
    return _iou(first, second)


# Another right answer


def right_coordinate_by_coordinate(first, second):
    x1 = torch.max(first[:, None, 0], second[None, :, 0])
    y1 = torch.max(first[:, None, 1], second[None, :, 1])
    x2 = torch.min(first[:, None, 2], second[None, :, 2])
    y2 = torch.min(first[:, None, 3], second[None, :, 3])
    shared = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return torch.where(union > 0, shared / union.clamp(min=1e-30), torch.zeros_like(shared))


EXERCISE = Exercise(
    "box_iou",
    lesson=0,
    minutes=15,
    reference=box_iou,
    cases=cases,
    hints=(
        "“Two boxes that are far apart have an IoU above 0.” Draw them. Where would their intersection begin, where would it "
        "end, and what is end minus begin? A length can't be negative.",
        "“It works for one pair, but not for all pairs.” first[:, None] has shape (N, 1, 4). Together with second, (M, 4), "
        "each operation returns (N, M, …). Take torch.maximum of the top left corners, torch.minimum of the bottom right ones.",
        "“The result is NaN.” Two boxes without area give 0 / 0. sides = (end - begin).clamp(min=0); shared = sides.prod(2); "
        "union = area + area - shared. Clamp the union to the smallest positive number, torch.finfo(union.dtype).tiny, "
        "before you divide.",
    ),
    wrong=(
        Wrong(
            wrong_clamps_nothing, "nothing is clamped: where boxes are apart, negative sides count as an intersection"
        ),
        Wrong(
            wrong_clamps_the_area_not_the_sides,
            "the area is clamped, not each side: for boxes apart in both x and y, minus times minus is plus",
        ),
        Wrong(
            wrong_counts_what_is_shared_twice, "the intersection is counted twice: union = area + area - intersection"
        ),
        Wrong(wrong_divides_by_the_smaller_box, "it divides by the smaller box, not by the union"),
        Wrong(wrong_divides_by_the_first_box, "it divides by the first box, not by the union"),
        Wrong(wrong_nan_without_area, "0 / 0 where neither box has an area"),
        Wrong(wrong_large_epsilon, "the epsilon against 0 / 0 is so large that it changes the IoU of small boxes"),
        Wrong(wrong_adds_a_pixel, "a pixel is added to each side, but a box ends at the edge of its last pixel"),
        Wrong(wrong_pairs, "each box is compared with one other, not with all"),
        Wrong(wrong_transposed, "rows and columns are swapped: rows belong to the first boxes"),
        Wrong(partial(wrong_clamps_nothing, smallest=1e-12)),
        Wrong(partial(wrong_clamps_the_area_not_the_sides, smallest=1e-12)),
        Wrong(wrong_pairs_of_equal_lists),
        Wrong(wrong_takes_the_corner_for_width_and_height),
        Wrong(wrong_always_float32),
        Wrong(wrong_in_place),
    ),
    right=(right_coordinate_by_coordinate,),
    library=(
        "torchvision.ops.box_iou",
        "torchvision.ops.generalized_box_iou",
        "torchvision.ops.boxes._box_inter_union",
    ),
)
