"""Exercise 11.2, `encode_distances`: a box as four distances from a point."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.detector.one_stage import encode_distances
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import anywhere, elsewhere


def cases(generator: torch.Generator) -> Iterator[Case]:
    point, stride = torch.tensor([[24.0, 16.0]]), torch.tensor([8.0])
    yield case("a point in the middle of a box", point, stride, xyxy((8, 0, 40, 32)))
    yield case("a point off the center", point, stride, xyxy((20, 4, 64, 24)))
    yield case("the same on a level with a stride of 32", point, torch.tensor([32.0]), xyxy((20, 4, 64, 24)))
    yield case("a point outside of the box", point, stride, xyxy((40, 4, 64, 12)))
    several = torch.tensor([[8.0, 16.0], [48.0, 16.0], [32.0, 64.0]]), torch.tensor([8.0, 16.0, 32.0])
    own = xyxy((4, 2, 21, 33), (40, 10, 90, 47), (-10, 5, 100, 130))
    yield case("three points, each with a box of its own", *several, own)
    yield case("no cells", torch.empty(0, 2), torch.empty(0), torch.empty(0, 4))
    points = 100 * torch.rand(9, 2, generator=generator)
    yield case("many points", points, 2.0 ** torch.arange(9), random_boxes(generator, 9))
    yield case("one point without a list", point[0], stride[0], xyxy((20, 4, 64, 24))[0])
    images = random_boxes(generator, 18, torch.float64).reshape(2, 9, 4)
    yield case(
        "two images, float64", points.double().repeat(2, 1, 1), torch.full((2, 9), 16.0, dtype=torch.float64), images
    )
    yield elsewhere(*several, own, what="points and boxes")


def _parts(points: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
    """Return left, top, right and bottom in pixels."""
    x, y = points.unbind(-1)
    x1, y1, x2, y2 = boxes.unbind(-1)
    return x - x1, y - y1, x2 - x, y2 - y


def wrong_in_pixels(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return torch.stack(_parts(points, boxes), -1)


def wrong_multiplied(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return torch.stack(_parts(points, boxes), -1) * strides[..., None]


def wrong_right_before_top(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    left, top, right, bottom = _parts(points, boxes)
    return torch.stack([left, right, top, bottom], -1) / strides[..., None]


def wrong_top_before_left(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    left, top, right, bottom = _parts(points, boxes)
    return torch.stack([top, left, bottom, right], -1) / strides[..., None]


def wrong_right_and_bottom_first(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    left, top, right, bottom = _parts(points, boxes)
    return torch.stack([right, bottom, left, top], -1) / strides[..., None]


def wrong_box_minus_point(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return (boxes - torch.cat([points, points], -1)) / strides[..., None]


def wrong_point_minus_box(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return (torch.cat([points, points], -1) - boxes) / strides[..., None]


def wrong_signs(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return -encode_distances(points, strides, boxes)


def wrong_no_signs(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points, strides, boxes).abs()


def wrong_clamped(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points, strides, boxes).clamp(min=0)


def wrong_half_a_stride_further(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points + strides[..., None] / 2, strides, boxes)


def wrong_by_the_box(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    side = boxes[..., 2:] - boxes[..., :2]
    return torch.stack(_parts(points, boxes), -1) / torch.cat([side, side], -1)


def wrong_logarithm(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points, strides, boxes).log()


def wrong_xywh(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    x, y, width, height = boxes.unbind(-1)
    return encode_distances(points, strides, torch.stack([x, y, x + width, y + height], -1))


def wrong_from_the_center(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances((boxes[..., :2] + boxes[..., 2:]) / 2, strides, boxes)


def wrong_y_before_x(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points.flip(-1), strides, boxes)


def wrong_whole_strides(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points, strides, boxes).floor()


def wrong_first_stride(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return torch.stack(_parts(points, boxes), -1) / (strides.flatten()[0] if strides.numel() else 1)


def wrong_fixed_stride(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return torch.stack(_parts(points, boxes), -1) / 8


def wrong_for_lists_only(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return torch.cat([points - boxes[:, :2], boxes[:, 2:] - points], 1) / strides[:, None]


def wrong_signs_on_the_cpu(points, strides, boxes):
    signs = torch.tensor([-1, -1, 1, 1], dtype=boxes.dtype)
    return signs * (boxes - torch.cat([points, points], -1)) / strides[..., None]


def wrong_in_place(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    boxes[..., :2] = points - boxes[..., :2]
    boxes[..., 2:] -= points
    return boxes / strides[..., None]


def wrong_always_float32(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    return encode_distances(points.float(), strides.float(), boxes.float())


def right_number_by_number(points, strides, boxes):
    x, y = points[..., 0], points[..., 1]
    left, top = (x - boxes[..., 0]) / strides, (y - boxes[..., 1]) / strides
    right, bottom = (boxes[..., 2] - x) / strides, (boxes[..., 3] - y) / strides
    return torch.stack((left, top, right, bottom), dim=-1)


def right_with_signs(points, strides, boxes):
    signs = boxes.new_tensor([-1, -1, 1, 1])
    return signs * (boxes - torch.cat([points, points], dim=-1)) / strides.unsqueeze(-1)


EXERCISE = Exercise(
    "encode_distances",
    lesson=11,
    minutes=4,
    reference=encode_distances,
    cases=cases,
    call=anywhere,
    library=("torchvision.models.detection._utils.BoxLinearCoder",),
    hints=(
        "“Some distances are negative.” Inside the box, all four are positive. From a point you go left to x1 and right to x2: "
        "which is subtracted from which?",
        "“They are far too large on one level.” They count strides, not pixels. strides has one axis fewer than the boxes: "
        "strides[..., None] adds it.",
        "“Nearly there.” points - boxes[..., :2] is left and top, boxes[..., 2:] - points is right and bottom. torch.cat both "
        "along the last axis, and divide by strides[..., None].",
    ),
    wrong=(
        Wrong(wrong_in_pixels, "the distances are in pixels, not in strides"),
        Wrong(wrong_multiplied, "it multiplies by the stride: that is what decoding does"),
        Wrong(wrong_right_before_top, "the order is left, right, top, bottom; it should be left, top, right, bottom"),
        Wrong(wrong_top_before_left, "the order is top, left, bottom, right; it should be left, top, right, bottom"),
        Wrong(wrong_right_and_bottom_first, "right and bottom come first, left and top last"),
        Wrong(wrong_box_minus_point, "left and top have the wrong sign"),
        Wrong(wrong_point_minus_box, "right and bottom have the wrong sign"),
        Wrong(wrong_signs, "all signs are the other way around"),
        Wrong(wrong_no_signs, "distances of a point outside of the box lose their sign"),
        Wrong(wrong_clamped, "distances of a point outside of the box become 0"),
        Wrong(wrong_half_a_stride_further, "the point is moved by half a stride"),
        Wrong(wrong_by_the_box, "the distances are divided by the sides of the box, not by the stride"),
        Wrong(wrong_logarithm, "the logarithm is taken: that belongs to anchors"),
        Wrong(wrong_xywh, "boxes are taken for x, y, width, height, but they are two corners"),
        Wrong(wrong_from_the_center, "the distances are those of the center of the box, not of the point"),
        Wrong(wrong_y_before_x, "x and y of the points are swapped"),
        Wrong(wrong_whole_strides, "the distances are rounded down to whole strides"),
        Wrong(wrong_first_stride, "the stride of the first cell is used for all"),
        Wrong(wrong_fixed_stride, "8 is hard-coded, whatever the strides are"),
        Wrong(wrong_for_lists_only, "it assumes two dimensions: [:, :2] where [..., :2] is needed"),
        Wrong(wrong_signs_on_the_cpu),
        Wrong(wrong_in_place, "an argument is overwritten"),
        Wrong(wrong_always_float32, "the result is always float32"),
    ),
    right=(right_number_by_number, right_with_signs),
)
