"""Exercise 1.3: clip boxes to the image, and drop those that can't be used."""

import math
from collections.abc import Iterator
from functools import partial

import torch

from coursekit.data.boxes import clean_boxes
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere_or_here, on_a_gpu

NAN, INFINITE = float("nan"), float("inf")


def cases(generator: torch.Generator) -> Iterator[Case]:
    size = (240, 320)
    yield case("a valid box", xyxy((10, 20, 30, 40)), size)
    yield case("a box across the right and bottom edges", xyxy((300, 200, 400, 300)), size)
    yield case("a box across the left and top edges", xyxy((-10, -20, 30, 40)), size)
    yield case("a box of width 0, and a valid one", xyxy((10, 20, 10, 40), (10, 20, 30, 40)), size)
    yield case("a box of height 0, and a valid one", xyxy((10, 20, 30, 20), (10, 20, 30, 40)), size)
    yield case("a box of width and height 0, and a valid one", xyxy((10, 20, 10, 20), (10, 20, 30, 40)), size)
    yield case("a box with its corners swapped, and a valid one", xyxy((30, 40, 10, 20), (10, 20, 30, 40)), size)
    yield case("a box outside the image", xyxy((330, 20, 350, 40)), size)
    yield case("a box with a NaN, and a valid one", xyxy((10, NAN, 30, 40), (10, 20, 30, 40)), size)
    yield case("an infinite box, and a valid one", xyxy((0, 0, INFINITE, INFINITE), (10, 20, 30, 40)), size)
    yield case("a box left of the image, and one above it", xyxy((-50, 20, -10, 40), (10, -50, 30, -10)), size)
    yield case("a box that only touches the right edge", xyxy((320, 20, 350, 40)), size)
    minus = xyxy((-INFINITE, 20, 30, 40), (10, -INFINITE, 30, 40), (10, 20, 30, 40))
    yield case("boxes that begin at minus infinity, and a valid one", minus, size)
    yield case("a box whose x2 is infinite, one whose y2 is", xyxy((0, 0, INFINITE, 9), (0, 0, 9, INFINITE)), size)
    yield case("a NaN in each place", torch.where(torch.eye(4) > 0, NAN, xyxy((10, 20, 30, 40))), size)
    yield case("a tall image", xyxy((0, 0, 300, 300)), (320, 200))
    yield case("a box half a pixel wide, which is small but valid", xyxy((10, 20, 10.5, 40)), size)
    yield case("a box half a pixel wide and high, of area 0.25", xyxy((10, 20, 10.5, 20.5)), size)
    yield case("a box a ten-thousandth of a pixel wide", xyxy((1, 20, 1.0001, 40)), size)
    yield case("no boxes", torch.empty(0, 4), size)
    yield case("six boxes, in float64", 4 * case_inputs.boxes(generator, 6, torch.float64) - 60, size)
    yield on_a_gpu(xyxy((10, 20, 30, 40), (10, 20, 10, 40)), size)


# Wrong answers


def _clipped(boxes, size):
    height, width = size
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def _has_area(boxes):
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


def _is_finite(boxes):
    return boxes.isfinite().all(1)


def _cleaned(boxes, size):
    clipped = _clipped(boxes, size)
    keep = _has_area(clipped) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_not_clipped(boxes, size):
    keep = _has_area(boxes) & _is_finite(boxes)
    return boxes[keep], keep


def wrong_swaps_height_and_width(boxes, size):
    return _cleaned(boxes, (size[1], size[0]))


def wrong_tests_before_it_clips(boxes, size):
    keep = _has_area(boxes) & _is_finite(boxes)
    return _clipped(boxes, size)[keep], keep


def wrong_drops_nothing(boxes, size):
    return _clipped(boxes, size), torch.ones(len(boxes), dtype=torch.bool)


def wrong_keeps_nan(boxes, size):
    clipped = _clipped(boxes, size)
    bad = (clipped[:, 2:] <= clipped[:, :2]).any(1)
    return clipped[~bad], ~bad


def wrong_keeps_infinite_boxes(boxes, size):
    clipped = _clipped(boxes, size)
    keep = _has_area(clipped)
    return clipped[keep], keep


def wrong_drops_boxes_below_a_pixel(boxes, size):
    clipped = _clipped(boxes, size)
    keep = (clipped[:, 2:] - clipped[:, :2] >= 1).all(1) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_clips_to_the_last_pixel(boxes, size):
    return _cleaned(boxes, (size[0] - 1, size[1] - 1))


def wrong_needs_only_one_side(boxes, size):
    clipped = _clipped(boxes, size)
    keep = (clipped[:, 2:] > clipped[:, :2]).any(1) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_in_place(boxes, size):
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, size[1])
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, size[0])
    keep = _has_area(boxes) & _is_finite(boxes)
    return boxes[keep], keep


def wrong_positions_for_a_mask(boxes, size):
    clipped, keep = _cleaned(boxes, size)
    return clipped, keep.nonzero()[:, 0]


def wrong_drops_areas_below_one(boxes, size):
    clipped = _clipped(boxes, size)
    keep = _has_area(clipped) & ((clipped[:, 2:] - clipped[:, :2]).prod(1) >= 1) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_drops_thin_boxes(boxes, size, least):
    clipped = _clipped(boxes, size)
    keep = (clipped[:, 2:] - clipped[:, :2] > least).all(1) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_area_of_swapped_corners(boxes, size):
    clipped = _clipped(boxes, size)
    keep = ((clipped[:, 2:] - clipped[:, :2]).prod(1) > 0) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_keeps_minus_infinity(boxes, size):
    clipped = _clipped(boxes, size)
    keep = _has_area(clipped) & (boxes < INFINITE).all(1)
    return clipped[keep], keep


def wrong_tests_only_right_and_below(boxes, size):
    height, width = size
    keep = _has_area(boxes) & _is_finite(boxes) & (boxes[:, 0] < width) & (boxes[:, 1] < height)
    return _clipped(boxes, size)[keep], keep


def wrong_clips_only_above(boxes, size):
    height, width = size
    clipped = torch.minimum(boxes, boxes.new_tensor([width, height, width, height]))
    keep = _has_area(clipped) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_clips_only_below(boxes, size):
    clipped = boxes.clamp(min=0)
    keep = _has_area(clipped) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_keeps_zero_width(boxes, size):
    clipped = _clipped(boxes, size)
    keep = (clipped[:, 2:] >= clipped[:, :2]).all(1) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_sorts_corners(boxes, size):
    low, high = torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])
    clipped = _clipped(torch.cat([low, high], 1), size)
    keep = _has_area(clipped) & _is_finite(boxes)
    return clipped[keep], keep


def wrong_repairs_nan(boxes, size):
    return _cleaned(boxes.nan_to_num(0, 0, 0), size)


def wrong_returns_all_boxes(boxes, size):
    _, keep = _cleaned(boxes, size)
    return _clipped(boxes, size), keep


def wrong_drops_what_it_would_clip(boxes, size):
    keep = _has_area(boxes) & _is_finite(boxes) & (boxes == _clipped(boxes, size)).all(1)
    return boxes[keep], keep


def wrong_mask_of_the_dropped(boxes, size):
    clipped, keep = _cleaned(boxes, size)
    return clipped, ~keep


def wrong_mask_of_numbers(boxes, size):
    clipped, keep = _cleaned(boxes, size)
    return clipped, keep.long()


def wrong_always_float32(boxes, size):
    clipped, keep = _cleaned(boxes, size)
    return clipped.float(), keep


def wrong_limits_on_the_cpu(boxes, size):
    height, width = size
    clipped = torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height], dtype=boxes.dtype))
    keep = _has_area(clipped) & _is_finite(boxes)
    return clipped[keep], keep


# Right answers


def right_by_a_limit(boxes, size):
    return _cleaned(boxes, size)


def right_by_columns(boxes, size):
    height, width = size
    clipped = boxes.clone()
    clipped[:, 0::2] = clipped[:, 0::2].clamp(0, width)
    clipped[:, 1::2] = clipped[:, 1::2].clamp(0, height)
    sides = clipped[:, 2:] - clipped[:, :2]
    keep = (sides > 0).all(dim=1) & ~(boxes.isnan() | boxes.isinf()).any(dim=1)
    return clipped[keep], keep


def right_box_by_box(boxes, size):
    height, width = size
    rows, keep = [], []
    for x1, y1, x2, y2 in boxes.tolist():
        sides = [min(max(x, 0), width) for x in (x1, x2)], [min(max(y, 0), height) for y in (y1, y2)]
        keep.append(all(map(math.isfinite, (x1, y1, x2, y2))) and all(low < high for low, high in sides))
        rows += [[sides[0][0], sides[1][0], sides[0][1], sides[1][1]]] if keep[-1] else []
    return boxes.new_tensor(rows).reshape(-1, 4), torch.tensor(keep, dtype=torch.bool, device=boxes.device)


EXERCISE = Exercise(
    "clean_boxes",
    lesson=1,
    minutes=12,
    reference=clean_boxes,
    cases=cases,
    results=("boxes", "which remain"),
    call=anywhere_or_here,
    hints=(
        "“A box outside the image is still there.” Do you clip first, or test first? Clip first: then a box outside the image "
        "has no area left, and the test drops it.",
        "“The NaN gets through.” Every comparison with NaN is False, so ask for what is good (x2 > x1), not for what is bad "
        "(x2 <= x1). Nobody has measured an infinite box, so drop it: boxes.isfinite().all(1), before you clip.",
        "“It works for a square image only.” size is (height, width), and a box is (x, y, x, y). x1, y1, x2, y2 = "
        "boxes.unbind(1); x1.clamp(0, width), y1.clamp(0, height), the same for x2 and y2; clipped = torch.stack(…, dim=1); "
        "keep = finite & (x2 > x1) & (y2 > y1); return clipped[keep], keep.",
    ),
    wrong=(
        Wrong(wrong_not_clipped, "boxes are not clipped to the image"),
        Wrong(
            wrong_swaps_height_and_width,
            "height and width are swapped: size is (height, width), but a box starts with x",
        ),
        Wrong(
            wrong_tests_before_it_clips,
            "boxes are tested before they are clipped, when a box outside still has an area",
        ),
        Wrong(wrong_drops_nothing, "no boxes are dropped"),
        Wrong(wrong_keeps_nan, "a NaN gets through: it is neither larger nor smaller than anything"),
        Wrong(wrong_keeps_infinite_boxes, "an infinite box is clipped to the image, not dropped"),
        Wrong(wrong_drops_boxes_below_a_pixel, "boxes thinner than a pixel are dropped, although they are valid"),
        Wrong(wrong_clips_to_the_last_pixel, "boxes are clipped to the last pixel, not to the edge of the image"),
        Wrong(wrong_needs_only_one_side, "a box of width 0 is kept if it has a height, and the other way around"),
        Wrong(wrong_in_place, "the input boxes are overwritten"),
        Wrong(wrong_positions_for_a_mask, "the second result holds positions, not a mask with an entry for each box"),
        Wrong(wrong_drops_areas_below_one, "boxes with an area below 1 are dropped, although they are valid"),
        Wrong(
            partial(wrong_drops_thin_boxes, least=1e-3),
            "boxes thinner than some small number are dropped, although they are valid",
        ),
        Wrong(
            partial(wrong_drops_thin_boxes, least=0.1),
            "boxes thinner than some small number are dropped, although they are valid",
        ),
        Wrong(
            wrong_area_of_swapped_corners,
            "the area is tested, but if both pairs of corners are swapped, minus times minus is plus",
        ),
        Wrong(wrong_keeps_minus_infinity, "minus infinity gets through: only plus infinity is tested"),
        Wrong(wrong_tests_only_right_and_below, "boxes left of the image and above it are kept"),
        Wrong(wrong_clips_only_above, "negative coordinates are not clipped"),
        Wrong(wrong_clips_only_below, "coordinates beyond the right and bottom edges are not clipped"),
        Wrong(wrong_keeps_zero_width, "boxes of width or height 0 are kept (>= instead of >)"),
        Wrong(wrong_sorts_corners, "swapped corners are repaired, but such a box should be dropped"),
        Wrong(wrong_repairs_nan, "NaN and infinity are replaced by a number, but such a box should be dropped"),
        Wrong(wrong_returns_all_boxes, "the mask is right, but all boxes are returned: index them with it"),
        Wrong(wrong_drops_what_it_would_clip, "boxes that reach beyond the image are dropped, not clipped"),
        Wrong(wrong_mask_of_the_dropped, "the mask is True for the boxes that are dropped"),
        Wrong(
            wrong_mask_of_numbers, "the mask holds numbers, not True and False: labels[keep] would pick labels 0 and 1"
        ),
        Wrong(wrong_always_float32, "the result is always float32, whatever the boxes are"),
        Wrong(wrong_limits_on_the_cpu),
    ),
    right=(right_by_columns, right_by_a_limit, right_box_by_box),
    library=("torchvision.ops.remove_small_boxes", "torchvision.ops.clip_boxes_to_image"),
)
