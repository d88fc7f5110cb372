"""Exercise 4.3, `encode_boxes`: the deltas that turn an anchor into a box."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import encode_boxes
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import anywhere, elsewhere


def cases(generator: torch.Generator) -> Iterator[Case]:
    anchor = xyxy((0, 0, 10, 20))
    yield case("a box equal to its anchor", anchor, anchor)
    yield case("a box moved right by half the anchor's width", xyxy((5, 0, 15, 20)), anchor)
    yield case("a box moved down", xyxy((0, 5, 10, 25)), anchor)
    yield case("a box twice as wide, about the same center", xyxy((-5, 0, 15, 20)), anchor)
    yield case("a box half as tall, about the same center", xyxy((0, 5, 10, 15)), anchor)
    yield case("a box that is moved and grown", xyxy((3, 7, 43, 17)), anchor)
    yield case("with weights", xyxy((3, 7, 43, 17)), anchor, (10.0, 20.0, 5.0, 2.0))
    yield case("many boxes and as many anchors", random_boxes(generator, 9), random_boxes(generator, 9))
    yield case("boxes with negative coordinates", xyxy((-30, -20, -10, -5)), xyxy((-25, -25, -5, -15)))
    yield case("a box a thousand times as wide as its anchor", xyxy((0, 0, 1000, 1)), xyxy((0, 0, 1, 100)))
    yield case("weights in a list, of which one is 0", xyxy((3, 7, 43, 17)), anchor, [0.0, 2.0, 1.0, 3.0])
    yield case("no boxes", torch.empty(0, 4), torch.empty(0, 4))
    some = (
        random_boxes(generator, 12, torch.float64).reshape(3, 4, 4),
        random_boxes(generator, 12, torch.float64).reshape(3, 4, 4),
    )
    yield case("three dimensions, float64", *some)
    yield case("float16", xyxy((5, 0, 15, 20)).half(), anchor.half(), (10.0, 10.0, 5.0, 5.0))
    yield elsewhere(anchor, anchor, (10.0, 10.0, 5.0, 5.0))


def _sides(box: Tensor) -> tuple[Tensor, Tensor]:
    side = box[..., 2:] - box[..., :2]
    return box[..., :2] + side / 2, side


def _joined(shift: Tensor, growth: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return torch.cat([shift, growth], -1) * shift.new_tensor(weights)


def wrong_no_log(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined((center - anchor) / extent, side / extent, weights)


def wrong_ratio_less_1(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined((center - anchor) / extent, side / extent - 1, weights)


def wrong_shift_in_pixels(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined(center - anchor, (side / extent).log(), weights)


def wrong_by_box(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined((center - anchor) / side, (side / extent).log(), weights)


def wrong_from_corner(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (_, side), (_, extent) = _sides(boxes), _sides(anchors)
    return _joined((boxes[..., :2] - anchors[..., :2]) / extent, (side / extent).log(), weights)


def wrong_other_way(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return encode_boxes(anchors, boxes, weights)


def wrong_x_for_y(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined(((center - anchor) / extent).flip(-1), (side / extent).log().flip(-1), weights)


def wrong_by_width(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined((center - anchor) / extent[..., :1], (side / extent).log(), weights)


def wrong_no_weights(boxes: Tensor, anchors: Tensor, weights: Any = None) -> Tensor:
    return encode_boxes(boxes, anchors)


def wrong_divided(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return encode_boxes(boxes, anchors) / boxes.new_tensor(weights)


def wrong_log_two(boxes: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(boxes), _sides(anchors)
    return _joined((center - anchor) / extent, (side / extent).log2(), weights)


def wrong_growth_before_shift(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([(side / extent).log(), shift], -1) * boxes.new_tensor(weights)


def wrong_takes_xywh(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:], anchors[..., 2:]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * boxes.new_tensor(weights)


def wrong_for_lists_only(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)


def wrong_weights_on_the_cpu(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * torch.tensor(weights, dtype=boxes.dtype)


def wrong_float32_for_float16(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * torch.tensor(weights, device=boxes.device)


def _centers(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def wrong_log10(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / extent, (side / extent).log10(), weights)


def wrong_log1p(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / extent, (side / extent).log1p(), weights)


def wrong_anchor_over_box(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / extent, (extent / side).log(), weights)


def wrong_anchor_minus_box(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((anchor - center) / extent, (side / extent).log(), weights)


def wrong_difference_of_sides(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / extent, side - extent, weights)


def wrong_by_half_the_side(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / (extent / 2), (side / extent).log(), weights)


def wrong_corners_only(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    extent = anchors[..., 2:] - anchors[..., :2]
    return (boxes - anchors) / torch.cat([extent, extent], -1) * boxes.new_tensor(weights)


def wrong_first_weight_for_all(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(boxes, anchors) * weights[0]


def wrong_weights_of_the_shift_only(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(boxes, anchors, (*weights[:2], 1.0, 1.0))


def wrong_weights_swapped(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(boxes, anchors, (weights[2], weights[3], weights[0], weights[1]))


def wrong_positive_shifts(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor).abs() / extent, (side / extent).log(), weights)


def wrong_center_is_half_the_side(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = _centers(boxes)[1], _centers(anchors)[1]
    return _joined((side / 2 - extent / 2) / extent, (side / extent).log(), weights)


def wrong_clamped(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    (center, side), (anchor, extent) = _centers(boxes), _centers(anchors)
    return _joined((center - anchor) / extent, (side / extent).log().clamp(-4.135, 4.135), weights)


def wrong_weights_of_two_places_divided(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    wx, wy, ww, wh = weights
    return encode_boxes(boxes, anchors, (wx, wy, 1 / (ww or 1), 1 / (wh or 1)))


def wrong_sides_plus_one(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    shift = boxes.new_tensor([0, 0, 1, 1])
    return encode_boxes(boxes + shift, anchors + shift, weights)


def wrong_in_place(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = encode_boxes(boxes, anchors, weights)
    boxes[..., 2:] -= boxes[..., :2]
    return deltas


def wrong_growth_of_y_before_x(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(boxes, anchors)[..., [0, 1, 3, 2]] * boxes.new_tensor(weights)


def wrong_signs(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return -encode_boxes(boxes, anchors, weights)


def wrong_always_float32(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(boxes.float(), anchors.float(), weights)


def right_number_by_number(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    x1, y1, x2, y2 = boxes.unbind(-1)
    a1, b1, a2, b2 = anchors.unbind(-1)
    wx, wy, ww, wh = weights
    dx = ((x1 + x2) - (a1 + a2)) / 2 / (a2 - a1)
    dy = ((y1 + y2) - (b1 + b2)) / 2 / (b2 - b1)
    dw = torch.log(x2 - x1) - torch.log(a2 - a1)
    dh = torch.log(y2 - y1) - torch.log(b2 - b1)
    return torch.stack([wx * dx, wy * dy, ww * dw, wh * dh], dim=-1)


def right_into_a_new_tensor(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas, (center, side), (anchor, extent) = torch.empty_like(boxes), _centers(boxes), _centers(anchors)
    for axis in range(2):
        deltas[..., axis] = weights[axis] * (center - anchor)[..., axis] / extent[..., axis]
        deltas[..., axis + 2] = weights[axis + 2] * torch.log(side[..., axis] / extent[..., axis])
    return deltas


EXERCISE = Exercise(
    "encode_boxes",
    lesson=4,
    minutes=12,
    reference=encode_boxes,
    cases=cases,
    call=anywhere,
    library=("torchvision.models.detection._utils.BoxCoder", "torchvision.models.detection._utils.encode_boxes"),
    hints=(
        "“My dx is ten times too large.” A shift of 5 pixels is a lot for a small anchor and little for a large one. What must "
        "you divide it by?",
        "“The box has not moved, but dx is not 0.” Compare centers, not corners: a box that grew about its center has not "
        "moved.",
        "“Nearly there.” side = boxes[..., 2:] - boxes[..., :2]; center = boxes[..., :2] + side / 2, and the same for the "
        "anchors. torch.cat([(center - anchor_center) / anchor_side, (side / anchor_side).log()], -1), times "
        "boxes.new_tensor(weights).",
    ),
    wrong=(
        Wrong(wrong_no_log, "the growth is the plain ratio, not its logarithm"),
        Wrong(wrong_ratio_less_1, "the growth is the ratio minus 1, not its logarithm"),
        Wrong(wrong_shift_in_pixels, "the shift is in pixels, not in sides of the anchor"),
        Wrong(wrong_by_box, "the shift is divided by the side of the box, not of the anchor"),
        Wrong(wrong_from_corner, "corners are compared instead of centers"),
        Wrong(wrong_other_way, "box and anchor are swapped"),
        Wrong(wrong_x_for_y, "x and y are swapped"),
        Wrong(wrong_by_width, "both shifts are divided by the width: dy needs the height"),
        Wrong(wrong_no_weights, "the weights are not used"),
        Wrong(wrong_divided, "it divides by the weights: that is what decoding does"),
        Wrong(wrong_log_two, "the logarithm has base 2"),
        Wrong(wrong_growth_before_shift, "dw and dh come first: the order is dx, dy, dw, dh"),
        Wrong(wrong_takes_xywh, "boxes are taken for x, y, width, height, but they are two corners"),
        Wrong(wrong_for_lists_only, "it assumes two dimensions: [:, 2:] where [..., 2:] is needed"),
        Wrong(wrong_weights_on_the_cpu),
        Wrong(
            wrong_float32_for_float16,
            "the result is float32 for float16 boxes: the weights need the dtype of the boxes",
        ),
        Wrong(wrong_log10, "the logarithm has base 10"),
        Wrong(wrong_log1p, "log1p is the logarithm of 1 + x, not of x"),
        Wrong(wrong_anchor_over_box, "the ratio is anchor / box, not box / anchor: the growth has the wrong sign"),
        Wrong(wrong_anchor_minus_box, "the shift is anchor - box, not box - anchor: it has the wrong sign"),
        Wrong(wrong_difference_of_sides, "the growth is a difference in pixels, not the logarithm of a ratio"),
        Wrong(wrong_by_half_the_side, "the shift is divided by half the side"),
        Wrong(wrong_corners_only, "the corners are subtracted: dw and dh are logarithms of ratios"),
        Wrong(wrong_first_weight_for_all, "the first weight is used for all four"),
        Wrong(wrong_weights_of_the_shift_only, "dw and dh are not multiplied by their weights"),
        Wrong(wrong_weights_swapped, "the weights of shift and growth are swapped"),
        Wrong(wrong_positive_shifts, "shifts have no sign"),
        Wrong(wrong_center_is_half_the_side, "the center is half the side, without the corner"),
        Wrong(wrong_clamped, "the growth is capped, but only decoding caps it"),
        Wrong(wrong_weights_of_two_places_divided),
        Wrong(wrong_sides_plus_one, "a pixel is added to each side, but a box ends at the edge of its last pixel"),
        Wrong(wrong_in_place, "an argument is overwritten"),
        Wrong(wrong_growth_of_y_before_x, "dh comes before dw"),
        Wrong(wrong_signs, "all signs are the other way around"),
        Wrong(wrong_always_float32, "the result is always float32"),
    ),
    right=(right_number_by_number, right_into_a_new_tensor),
)
