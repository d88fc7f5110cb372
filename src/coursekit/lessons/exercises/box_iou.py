"""Exercise 0.2: the intersection over union of each box with each."""

from collections.abc import Iterator
from functools import partial

import torch

from coursekit.detector.boxes import box_iou
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


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
    yield case("two boxes and three", case_inputs.boxes(generator, 2), case_inputs.boxes(generator, 3))
    yield case("no boxes and three", torch.empty(0, 4), case_inputs.boxes(generator, 3))
    yield case("three boxes and none", case_inputs.boxes(generator, 3), torch.empty(0, 4))
    yield case(
        "many boxes, in float64",
        case_inputs.boxes(generator, 40, torch.float64),
        case_inputs.boxes(generator, 30, torch.float64),
    )
    yield on_a_gpu(unit, xyxy((5, 0, 15, 10), (3, 3, 3, 3)))


# Wrong answers

EPSILON = "the epsilon that is added to the union against 0 / 0 changes the IoU of small boxes: clamp it instead"


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


def wrong_epsilon(first, second, epsilon):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return shared / (_union(first, second, shared) + epsilon)


def wrong_clamped_union(first, second, smallest):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, _union(first, second, shared), smallest)


def wrong_one_without_area(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return (shared / _union(first, second, shared)).nan_to_num(1.0)


def wrong_divides_by_the_larger_box(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, torch.maximum(_area(first)[:, None], _area(second)))


def wrong_divides_by_the_box_around_both(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    around = torch.maximum(first[:, None, 2:], second[:, 2:]) - torch.minimum(first[:, None, :2], second[:, :2])
    return _ratio(shared, around.prod(2))


def wrong_clamps_sides_at_one(first, second):
    shared = _sides(first, second).clamp(min=1).prod(2)
    return _ratio(shared, _union(first, second, shared))


def wrong_clips_boxes(first, second):
    return _iou(first.clamp(min=0), second.clamp(min=0))


def wrong_rounds(first, second):
    return _iou(first, second).round(decimals=3)


def wrong_squeezed(first, second):
    return _iou(first, second).squeeze()


def wrong_flat_without_boxes(first, second):
    return _iou(first, second) if len(first) and len(second) else torch.zeros(0)


def wrong_float64(first, second):
    return _iou(first.double(), second.double())


def wrong_made_on_the_cpu(first, second):
    overlap = torch.zeros(len(first), len(second), dtype=first.dtype)
    for row, box in enumerate(first):
        overlap[row] = _iou(box[None], second)[0]
    return overlap


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


def right_nan_to_num(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return torch.nan_to_num(shared / _union(first, second, shared))


def right_pair_by_pair(first, second):
    overlap = first.new_zeros(len(first), len(second))
    for row, (a1, b1, a2, b2) in enumerate(first.tolist()):
        for column, (x1, y1, x2, y2) in enumerate(second.tolist()):
            shared = max(min(a2, x2) - max(a1, x1), 0) * max(min(b2, y2) - max(b1, y1), 0)
            union = (a2 - a1) * (b2 - b1) + (x2 - x1) * (y2 - y1) - shared
            overlap[row, column] = shared / union if union else 0
    return overlap


def right_small_clamp(first, second):
    shared = _sides(first, second).clamp(min=0).prod(2)
    return _ratio(shared, _union(first, second, shared), 1e-12)


EXERCISE = Exercise(
    "box_iou",
    lesson=0,
    minutes=20,
    reference=box_iou,
    cases=cases,
    call=anywhere,
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
        *(Wrong(partial(wrong_epsilon, epsilon=epsilon), EPSILON) for epsilon in (1e-2, 1e-3, 1e-5, 1e-6)),
        Wrong(
            partial(wrong_clamped_union, smallest=1.0),
            "the union is clamped to 1, which is more than the area of a small box",
        ),
        Wrong(wrong_one_without_area, "the IoU of two boxes without area is 1, but it should be 0"),
        Wrong(wrong_divides_by_the_larger_box, "it divides by the larger box, not by the union"),
        Wrong(wrong_divides_by_the_box_around_both, "it divides by the box around both, not by the union"),
        Wrong(wrong_clamps_sides_at_one, "sides are clamped at 1, not at 0, so boxes that are apart share a pixel"),
        Wrong(wrong_clips_boxes, "negative coordinates are clipped at 0, which changes the boxes"),
        Wrong(wrong_rounds, "the IoU is rounded"),
        Wrong(wrong_squeezed, "squeeze() removes a dimension of size 1: the shape is (N, M), even for one box"),
        Wrong(wrong_flat_without_boxes, "without boxes the shape is (0,), not (N, 0) or (0, M)"),
        Wrong(wrong_adds_a_pixel, "a pixel is added to each side, but a box ends at the edge of its last pixel"),
        Wrong(wrong_pairs, "each box is compared with one other, not with all"),
        Wrong(wrong_transposed, "rows and columns are swapped: rows belong to the first boxes"),
        Wrong(partial(wrong_clamps_nothing, smallest=1e-12)),
        Wrong(partial(wrong_clamps_the_area_not_the_sides, smallest=1e-12)),
        Wrong(wrong_pairs_of_equal_lists),
        Wrong(wrong_takes_the_corner_for_width_and_height),
        Wrong(wrong_always_float32, "the result is always float32, whatever the boxes are"),
        Wrong(wrong_float64),
        Wrong(wrong_made_on_the_cpu),
        Wrong(wrong_in_place),
    ),
    right=(right_coordinate_by_coordinate, right_nan_to_num, right_pair_by_pair, right_small_clamp),
    library=(
        "torchvision.ops.box_iou",
        "torchvision.ops.generalized_box_iou",
        "torchvision.ops.boxes._box_inter_union",
    ),
)
