"""Exercise 4.3, `encode_boxes`: the deltas that turn an anchor into a box."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import encode_boxes
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.inputs import boxes as random_boxes
from coursekit.lessons.inputs import xyxy
from coursekit.lessons.other_device import anywhere, elsewhere


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


def right_number_by_number(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    x1, y1, x2, y2 = boxes.unbind(-1)
    a1, b1, a2, b2 = anchors.unbind(-1)
    wx, wy, ww, wh = weights
    dx = ((x1 + x2) - (a1 + a2)) / 2 / (a2 - a1)
    dy = ((y1 + y2) - (b1 + b2)) / 2 / (b2 - b1)
    dw = torch.log(x2 - x1) - torch.log(a2 - a1)
    dh = torch.log(y2 - y1) - torch.log(b2 - b1)
    return torch.stack([wx * dx, wy * dy, ww * dw, wh * dh], dim=-1)


EXERCISE = Exercise(
    "encode_boxes",
    lesson=4,
    minutes=10,
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
        Wrong(wrong_growth_before_shift),
        Wrong(wrong_takes_xywh),
        Wrong(wrong_for_lists_only),
        Wrong(wrong_weights_on_the_cpu),
        Wrong(wrong_float32_for_float16),
    ),
    right=(right_number_by_number,),
)
