"""Exercise 4.4, `decode_boxes`: the inverse of `encode_boxes`."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import decode_boxes
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import anywhere, elsewhere

CAP = math.log(1000 / 16)


def _sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    side = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + side / 2, side


def cases(generator: torch.Generator) -> Iterator[Case]:
    anchor = xyxy((0, 0, 10, 20))
    yield case("all deltas 0: the anchor itself", xyxy((0, 0, 0, 0)), anchor)
    yield case("a shift to the right by half the anchor's width", xyxy((0.5, 0, 0, 0)), anchor)
    yield case("a shift down", xyxy((0, 0.5, 0, 0)), anchor)
    yield case("twice as wide: dw is log 2", xyxy((0, 0, math.log(2), 0)), anchor)
    yield case("half as tall: dh is log ½", xyxy((0, 0, 0, math.log(0.5))), anchor)
    yield case("moved and grown", xyxy((0.3, -0.2, 0.4, 0.1)), anchor)
    yield case("with weights", xyxy((3, -4, 2, 1)), anchor, (10.0, 20.0, 5.0, 2.0))
    yield case("an anchor far from the corner", xyxy((0.5, 0, math.log(2), 0)), xyxy((100, 50, 110, 70)))
    yield case("a growth beyond the cap", xyxy((0, 0, 5, 0)), anchor)
    yield case("a growth too large for exp", xyxy((0, 0, 1000, 1000)), anchor)
    yield case("a growth that the weights bring below the cap", xyxy((0, 0, 10, 10)), anchor, (10.0, 10.0, 5.0, 5.0))
    yield case(
        "a growth at the cap, one below it and one above", xyxy((0, 0, CAP, CAP - 0.1), (0, 0, CAP + 0.1, 4)), anchor
    )
    yield case(
        "a large shift and a large growth, with weights", xyxy((90, -90, 40, -40)), anchor, (10.0, 10.0, 5.0, 5.0)
    )
    yield case("weights in a list", xyxy((3, -4, 2, 1)), anchor, [2.0, 4.0, 1.0, 0.5])
    yield case("a large shift, which is not capped", xyxy((9, -9, 0, 0)), anchor)
    yield case("a box shrunk to almost nothing, which is not capped either", xyxy((0, 0, -6, -6)), anchor)
    yield case("no boxes", torch.empty(0, 4), torch.empty(0, 4))
    yield case("nine boxes", torch.randn(9, 4, generator=generator), random_boxes(generator, 9))
    several = torch.randn(5, 3, 4, generator=generator), random_boxes(generator, 5)[:, None]
    yield case("three boxes per anchor, (5, 3, 4) and (5, 1, 4)", *several)
    yield case(
        "float64",
        torch.randn(6, 4, generator=generator, dtype=torch.float64),
        random_boxes(generator, 6, torch.float64),
    )
    yield elsewhere(anchor, anchor, (10.0, 10.0, 5.0, 5.0))


def _decoded(center: Tensor, half: Tensor) -> Tensor:
    return torch.cat([center - half, center + half], -1)


def _taken(deltas: Tensor, anchors: Tensor, weights: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the anchors' center and side, and shift and growth without a cap."""
    center, side = _sides(anchors)
    deltas = deltas / deltas.new_tensor(weights)
    return center, side, deltas[..., :2], deltas[..., 2:]


def wrong_uncapped(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.exp() / 2)


def wrong_capped_early(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes(torch.cat([deltas[..., :2], deltas[..., 2:].clamp(max=CAP)], -1), anchors, weights)


def wrong_all_capped(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes((deltas / deltas.new_tensor(weights)).clamp(max=CAP), anchors)


def wrong_capped_below(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(-CAP, CAP).exp() / 2)


def wrong_capped_at_1000_16(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=1000 / 16).exp() / 2)


def wrong_ratio(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=1000 / 16) / 2)


def wrong_shift_in_pixels(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift, side * growth.clamp(max=CAP).exp() / 2)


def wrong_in_new_sides(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    grown = side * growth.clamp(max=CAP).exp()
    return _decoded(center + shift * grown, grown / 2)


def wrong_grown_from_corner(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    _, side, shift, growth = _taken(deltas, anchors, weights)
    corner = anchors[..., :2] + shift * side
    return torch.cat([corner, corner + side * growth.clamp(max=CAP).exp()], -1)


def wrong_whole_sides(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=CAP).exp())


def wrong_center_and_size(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return torch.cat([center + shift * side, side * growth.clamp(max=CAP).exp()], -1)


def wrong_weights_unused(deltas: Tensor, anchors: Tensor, weights: Any = None) -> Tensor:
    return decode_boxes(deltas, anchors)


def wrong_multiplied(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes(deltas * deltas.new_tensor(weights), anchors)


def wrong_fixed_axis(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    if deltas.ndim != 2:
        raise RuntimeError("The size of tensor a (2) must match the size of tensor b (4)")
    return decode_boxes(deltas, anchors, weights)


def wrong_ratio_less_one(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * (1 + deltas[..., 2:]).clamp(max=1000 / 16) / 2
    return torch.cat([center - half, center + half], -1)


def wrong_exp_clamped_afterward_too_low(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].exp().clamp(max=math.log(1000 / 16)) / 2
    return torch.cat([center - half, center + half], -1)


def wrong_gives_xywh(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    grown = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp()
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    return torch.cat([center - grown / 2, grown], -1)


def wrong_cut_at_zero(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1).clamp(min=0)


def wrong_changes_the_deltas(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas /= deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1)


def wrong_weights_on_the_cpu(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / torch.tensor(weights, dtype=deltas.dtype)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1)


def wrong_cap_of_1000(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=math.log(1000)).exp() / 2)


def wrong_cap_of_16(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=math.log(16)).exp() / 2)


def wrong_only_the_width_capped(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    growth = torch.cat([growth[..., :1].clamp(max=CAP), growth[..., 1:]], -1)
    return _decoded(center + shift * side, side * growth.exp() / 2)


def wrong_powers_of_two(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=CAP).exp2() / 2)


def wrong_shift_by_half_the_side(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side / 2, side * growth.clamp(max=CAP).exp() / 2)


def wrong_minus_the_shift(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center - shift * side, side * growth.clamp(max=CAP).exp() / 2)


def wrong_shift_from_the_corner(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    _, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(anchors[..., :2] + shift * side, side * growth.clamp(max=CAP).exp() / 2)


def wrong_both_shifts_by_the_width(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side[..., :1], side * growth.clamp(max=CAP).exp() / 2)


def wrong_x_for_y(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas[..., [1, 0, 3, 2]], anchors, weights)


def wrong_growth_first(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas[..., [2, 3, 0, 1]], anchors, weights)


def wrong_first_weight_for_all(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas / weights[0], anchors)


def wrong_weights_of_the_shift_only(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas, anchors, (*weights[:2], 1.0, 1.0))


def wrong_corner_twice(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    boxes = decode_boxes(deltas, anchors, weights)
    return torch.cat([boxes[..., :2], (boxes[..., :2] + boxes[..., 2:]) / 2], -1)


def wrong_minus_one_pixel(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas, anchors, weights) - deltas.new_tensor([0, 0, 1, 1])


def wrong_rounded(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas, anchors, weights).round()


def wrong_always_float32(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas.float(), anchors.float(), weights)


def right_number_by_number(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    x1, y1, x2, y2 = anchors.unbind(-1)
    dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), weights, strict=True))
    cap = math.log(1000 / 16)
    x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
    w, h = (x2 - x1) * torch.exp(dw.clamp(max=cap)), (y2 - y1) * torch.exp(dh.clamp(max=cap))
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


def right_clamped_after_exp(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = (anchors[..., 2:] + anchors[..., :2]) / 2 + deltas[..., :2] * side
    grown = side * deltas[..., 2:].exp().clamp(max=1000 / 16)
    return torch.cat([center - grown / 2, center + grown / 2], -1)


def right_corner_by_corner(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    dx, dy, dw, dh = (deltas / torch.tensor(weights, dtype=deltas.dtype, device=deltas.device)).unbind(dim=-1)
    width, height = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    x, y = anchors[..., 0] + width * (dx + 0.5), anchors[..., 1] + height * (dy + 0.5)
    w = width * torch.exp(torch.minimum(dw, torch.full_like(dw, math.log(62.5))))
    h = height * torch.exp(torch.minimum(dh, torch.full_like(dh, math.log(62.5))))
    return torch.stack((x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h), -1)


EXERCISE = Exercise(
    "decode_boxes",
    lesson=4,
    minutes=15,
    reference=decode_boxes,
    cases=cases,
    call=anywhere,
    library=("torchvision.models.detection._utils.BoxCoder",),
    hints=(
        "“With weights, my boxes are far off.” Undo what encoding did, last step first. It multiplied by the weights at the "
        "very end. So what comes first here?",
        "“It is right except for a huge dw.” exp(1000) is infinite. Cap dw and dh from above, after the division by the weights, at "
        "math.log(1000 / 16). Shifts, and shrinking, need no cap.",
        "“Nearly there.” side = anchors[..., 2:] - anchors[..., :2]; center = anchors[..., :2] + side / 2; the new center is "
        "center + shift * side, the new side side * growth.clamp(max=…).exp(). Half of it goes to either side: torch.cat, "
        "along the last axis.",
    ),
    wrong=(
        Wrong(wrong_uncapped, "growth is not capped: a large dw makes an infinite box"),
        Wrong(wrong_capped_early, "growth is capped before it is divided by the weights"),
        Wrong(wrong_all_capped, "shifts are capped too"),
        Wrong(wrong_capped_below, "shrinking is capped too: only growth overflows"),
        Wrong(wrong_capped_at_1000_16, "the cap is 1000 / 16, not its logarithm: exp comes after it"),
        Wrong(wrong_ratio, "growth is used as the ratio, without exp"),
        Wrong(wrong_shift_in_pixels, "the shift is in pixels, not in sides of the anchor"),
        Wrong(wrong_in_new_sides, "the shift is in sides of the new box, not of the anchor"),
        Wrong(wrong_grown_from_corner, "the box grows from its corner, not about its center"),
        Wrong(wrong_whole_sides, "the whole side goes to either side of the center: twice too large"),
        Wrong(wrong_center_and_size, "it returns center, width and height instead of two corners"),
        Wrong(wrong_weights_unused, "the weights are not used"),
        Wrong(wrong_multiplied, "it multiplies by the weights: that is what encoding does"),
        Wrong(wrong_fixed_axis, "it assumes two dimensions: [:, 2:] where [..., 2:] is needed"),
        Wrong(wrong_ratio_less_one, "growth is used as the ratio minus 1, without exp"),
        Wrong(
            wrong_exp_clamped_afterward_too_low,
            "the ratio is capped at log(1000 / 16): cap before exp, or at 1000 / 16 after it",
        ),
        Wrong(wrong_gives_xywh, "it returns x, y, width and height instead of two corners"),
        Wrong(wrong_cut_at_zero, "boxes are clipped at 0: clipping comes later"),
        Wrong(wrong_changes_the_deltas, "the deltas are overwritten (/=)"),
        Wrong(wrong_weights_on_the_cpu),
        Wrong(wrong_cap_of_1000, "the cap is log 1000, not log(1000 / 16)"),
        Wrong(wrong_cap_of_16, "the cap is log 16, not log(1000 / 16)"),
        Wrong(wrong_only_the_width_capped, "only dw is capped, not dh"),
        Wrong(wrong_powers_of_two, "growth is a power of 2, not of e: use exp"),
        Wrong(wrong_shift_by_half_the_side, "the shift is in half sides of the anchor"),
        Wrong(wrong_minus_the_shift, "the shift has the wrong sign"),
        Wrong(wrong_shift_from_the_corner, "the shift starts at the anchor's corner, not at its center"),
        Wrong(wrong_both_shifts_by_the_width, "both shifts are in widths: dy needs the height"),
        Wrong(wrong_x_for_y, "x and y are swapped"),
        Wrong(wrong_growth_first, "dw and dh are taken for the shift"),
        Wrong(wrong_first_weight_for_all, "the first weight is used for all four"),
        Wrong(wrong_weights_of_the_shift_only, "dw and dh are not divided by their weights"),
        Wrong(wrong_corner_twice, "the second corner is the center"),
        Wrong(wrong_minus_one_pixel, "a pixel is subtracted, but a box ends at the edge of its last pixel"),
        Wrong(wrong_rounded, "boxes are rounded"),
        Wrong(wrong_always_float32, "the result is always float32"),
    ),
    right=(right_number_by_number, right_clamped_after_exp, right_corner_by_corner),
)
