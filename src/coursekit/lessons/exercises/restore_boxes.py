"""Exercise 12.2: move boxes from the detector's input back to the image."""

from collections.abc import Iterator
from functools import partial

import torch

from coursekit.detector.boxes import clip_boxes
from coursekit.export.prepare import restore_boxes
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("an image that was made half as large", xyxy((1, 2, 3, 4)), (0.5, 0.5), (20, 30))
    yield case("an image that was made twice as large", xyxy((4, 8, 20, 16)), (2.0, 2.0), (20, 30))
    yield case("factors that differ: the vertical one comes first", xyxy((4, 8, 20, 16)), (0.5, 0.8), (90, 70))
    yield case("a box in the padding below", xyxy((4, 8, 20, 30)), (0.5, 0.5), (40, 90))
    yield case("a box in the padding on the right", xyxy((4, 8, 30, 9)), (0.5, 0.5), (90, 40))
    yield case("a box that begins left of the image and above it", xyxy((-3, -2, 10, 10)), (0.5, 0.5), (90, 90))
    yield case("a box that is outside of the image", xyxy((50, 50, 60, 70)), (1.0, 1.0), (40, 30))
    yield case("a box with fractions of pixels", xyxy((1.25, 2.5, 3.75, 9)), (0.4, 0.4), (90, 90))
    yield case("no boxes", torch.empty(0, 4), (0.5, 0.5), (20, 30))
    yield case("twenty boxes", case_inputs.boxes(generator, 20), (0.64, 0.6396), (120, 90))
    yield case("float64", case_inputs.boxes(generator, 20, torch.float64), (1.28, 1.3), (60, 50))
    yield on_a_gpu(xyxy((1, 2, 3, 4)), (0.5, 0.5), (20, 30))


# Wrong answers. Written as an intern would.


def divided(boxes, vertical, horizontal):
    return boxes / boxes.new_tensor([horizontal, vertical, horizontal, vertical])


def wrong_multiplies(boxes, scale, size):
    return clip_boxes(divided(boxes, 1 / scale[0], 1 / scale[1]), size)


def wrong_horizontal_first(boxes, scale, size):
    return clip_boxes(divided(boxes, scale[1], scale[0]), size)


def wrong_vertical_for_both(boxes, scale, size):
    return clip_boxes(boxes / scale[0], size)


def wrong_horizontal_for_both(boxes, scale, size):
    return clip_boxes(boxes / scale[1], size)


def wrong_stays(boxes, scale, size):
    return clip_boxes(boxes, size)


def wrong_not_clipped(boxes, scale, size):
    return divided(boxes, *scale)


def wrong_clipped_first(boxes, scale, size):
    return divided(clip_boxes(boxes, size), *scale)


def wrong_limits_swapped(boxes, scale, size):
    return clip_boxes(divided(boxes, *scale), (size[1], size[0]))


def wrong_last_pixel(boxes, scale, size):
    return clip_boxes(divided(boxes, *scale), (size[0] - 1, size[1] - 1))


def wrong_clipped_below_0_only(boxes, scale, size):
    return divided(boxes, *scale).clamp(min=0)


def wrong_clipped_above_only(boxes, scale, size):
    return torch.minimum(divided(boxes, *scale), boxes.new_tensor([size[1], size[0], size[1], size[0]]))


def wrong_one_corner(boxes, scale, size):
    return clip_boxes(torch.cat([divided(boxes, *scale)[:, :2], boxes[:, 2:]], 1), size)


def wrong_rounded(boxes, scale, size):
    return restore_boxes(boxes, scale, size).round()


def wrong_whole_numbers(boxes, scale, size):
    return restore_boxes(boxes, scale, size).long()


def wrong_drops_outside(boxes, scale, size):
    restored = restore_boxes(boxes, scale, size)
    return restored[(restored[:, 2:] > restored[:, :2]).all(1)]


def wrong_in_place(boxes, scale, size):
    boxes /= boxes.new_tensor([scale[1], scale[0], scale[1], scale[0]])
    return clip_boxes(boxes, size)


def wrong_always_float32(boxes, scale, size):
    return restore_boxes(boxes, scale, size).float()


def wrong_fails_for_no_boxes(boxes, scale, size):
    return torch.stack([restore_boxes(box[None], scale, size)[0] for box in boxes])


def wrong_xywh(boxes, scale, size):
    restored = restore_boxes(boxes, scale, size)
    return torch.cat([restored[:, :2], restored[:, 2:] - restored[:, :2]], 1)


def wrong_scale_on_the_cpu(boxes, scale, size):
    vertical, horizontal = scale
    return clip_boxes(boxes / torch.tensor([horizontal, vertical] * 2, dtype=boxes.dtype), size)


# Right answers


def right_column_by_column(boxes, scale, size):
    (height, width), (vertical, horizontal) = size, scale
    x1, y1, x2, y2 = boxes.unbind(1)
    columns = ((x1, horizontal, width), (y1, vertical, height), (x2, horizontal, width), (y2, vertical, height))
    return torch.stack([(column / factor).clamp(0, limit) for column, factor, limit in columns], 1)


def right_in_place_on_a_copy(boxes, scale, size):
    restored = boxes.clone()
    restored[:, 0::2] = (restored[:, 0::2] / scale[1]).clamp(0, size[1])
    restored[:, 1::2] = (restored[:, 1::2] / scale[0]).clamp(0, size[0])
    return restored


EXERCISE = Exercise(
    "restore_boxes",
    lesson=12,
    minutes=10,
    reference=restore_boxes,
    cases=cases,
    call=anywhere,
    hints=(
        "“The boxes are too small”, or too large. The scale made the image smaller or larger; the boxes go the other way. "
        "And which of the two factors belongs to x?",
        "“Some boxes are larger than the image.” The input has padding, and a box may reach into it. Divide first, then "
        "clip: x at the width, y at the height.",
        "“Nearly there.” vertical, horizontal = scale; boxes / boxes.new_tensor([horizontal, vertical, horizontal, "
        "vertical]); then clamp the columns 0::2 to 0 … size[1] and 1::2 to 0 … size[0], in a copy.",
    ),
    wrong=(
        Wrong(wrong_multiplies, "the boxes are multiplied by the scale, not divided"),
        Wrong(wrong_horizontal_first, "the factors of x and y are swapped: the scale has the vertical one first"),
        Wrong(wrong_vertical_for_both, "the vertical factor is used for x, too"),
        Wrong(wrong_horizontal_for_both, "the horizontal factor is used for y, too"),
        Wrong(wrong_stays, "the boxes stay in pixels of the input"),
        Wrong(wrong_not_clipped, "the boxes aren't clipped at the edges of the image"),
        Wrong(wrong_clipped_first, "the boxes are clipped before they are divided, in pixels of the input"),
        Wrong(wrong_limits_swapped, "height and width are swapped where boxes are clipped"),
        Wrong(wrong_last_pixel, "boxes are clipped to the last pixel, not to the edge of the image"),
        Wrong(wrong_clipped_below_0_only, "boxes are clipped at 0, but not at the right and bottom edges"),
        Wrong(wrong_clipped_above_only, "boxes are clipped at the right and bottom edges, but not at 0"),
        Wrong(wrong_one_corner, "only the top left corner is divided"),
        Wrong(wrong_rounded, "the boxes are rounded to whole pixels"),
        Wrong(wrong_whole_numbers, "the boxes are whole numbers (int64)"),
        Wrong(wrong_drops_outside, "boxes outside of the image are dropped, so scores and labels don't fit any more"),
        Wrong(wrong_in_place, "the caller's boxes are changed"),
        Wrong(wrong_always_float32, "the boxes are always float32, whatever they were"),
        Wrong(wrong_fails_for_no_boxes, "it fails if there are no boxes"),
        Wrong(wrong_xywh, "the boxes come back as xywh, not xyxy"),
        Wrong(wrong_scale_on_the_cpu),
        Wrong(partial(lambda boxes, scale, size: restore_boxes(boxes, scale, size)[None])),
    ),
    right=(right_column_by_column, right_in_place_on_a_copy),
)
