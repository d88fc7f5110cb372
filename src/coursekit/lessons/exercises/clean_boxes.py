"""Exercise 1.3: clip boxes to the image, and drop those that can't be used."""

from collections.abc import Iterator

import torch

from coursekit.data.boxes import clean_boxes
from coursekit.lessons import inputs
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.inputs import xyxy

NAN, INFINITE = float("nan"), float("inf")


def cases(generator: torch.Generator) -> Iterator[Case]:
    size = (240, 320)
    yield case("a valid box", xyxy((10, 20, 30, 40)), size)
    yield case("a box across the right and bottom edges", xyxy((300, 200, 400, 300)), size)
    yield case("a box across the left and top edges", xyxy((-10, -20, 30, 40)), size)
    yield case("a box of width 0, and a valid one", xyxy((10, 20, 10, 40), (10, 20, 30, 40)), size)
    yield case("a box of height 0, and a valid one", xyxy((10, 20, 30, 20), (10, 20, 30, 40)), size)
    yield case("a box with its corners swapped, and a valid one", xyxy((30, 40, 10, 20), (10, 20, 30, 40)), size)
    yield case("a box outside the image", xyxy((330, 20, 350, 40)), size)
    yield case("a box with a NaN, and a valid one", xyxy((10, NAN, 30, 40), (10, 20, 30, 40)), size)
    yield case("an infinite box, and a valid one", xyxy((0, 0, INFINITE, INFINITE), (10, 20, 30, 40)), size)
    yield case("a tall image", xyxy((0, 0, 300, 300)), (320, 200))
    yield case("a box half a pixel wide, which is small but valid", xyxy((10, 20, 10.5, 40)), size)
    yield case("no boxes", torch.empty(0, 4), size)
    yield case("six boxes, in float64", 4 * inputs.boxes(generator, 6, torch.float64) - 60, size)


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


EXERCISE = Exercise(
    "clean_boxes",
    lesson=1,
    minutes=10,
    reference=clean_boxes,
    cases=cases,
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
        Wrong(wrong_needs_only_one_side),
        Wrong(wrong_in_place),
        Wrong(wrong_positions_for_a_mask),
    ),
    right=(right_by_columns, right_by_a_limit),
    library=("torchvision.ops.remove_small_boxes", "torchvision.ops.clip_boxes_to_image"),
)
