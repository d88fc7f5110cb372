"""Exercise 11.3, `decode_distances`: the inverse of `encode_distances`."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector.one_stage import decode_distances
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients, is_trained
from coursekit.lessons.meta_device import anywhere, elsewhere


def ltrb(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def cases(generator: torch.Generator) -> Iterator[Case]:
    point, stride = torch.tensor([[24.0, 16.0]]), torch.tensor([8.0])
    yield case("a point in the middle of a box", point, stride, ltrb((2, 2, 2, 2)))
    yield case("a point off the center", point, stride, ltrb((0.5, 1.5, 5, 1)))
    yield case("the same on a level with a stride of 32", point, torch.tensor([32.0]), ltrb((0.5, 1.5, 5, 1)))
    yield case("distances of 0: a box without area", point, stride, ltrb((0, 0, 0, 0)))
    yield case("a box that reaches out of the image", point, stride, ltrb((9, 4, 1, 1)))
    several = torch.tensor([[8.0, 16.0], [48.0, 16.0], [32.0, 64.0]]), torch.tensor([8.0, 16.0, 32.0])
    own = ltrb((0.5, 1.75, 1.6, 2.1), (0.5, 0.4, 2.6, 2), (1.3, 1.8, 2.1, 2.06))
    yield case("three points, each with distances of its own", *several, own)
    yield case("no cells", torch.empty(0, 2), torch.empty(0), torch.empty(0, 4))
    points, distances = 100 * torch.rand(9, 2, generator=generator), 5 * torch.rand(9, 4, generator=generator)
    yield case("many points", points, 2.0 ** torch.arange(9), distances)
    yield case("one point without a list", point[0], stride[0], ltrb((0.5, 1.5, 5, 1))[0])
    images = 5 * torch.rand(2, 9, 4, generator=generator, dtype=torch.float64)
    yield case("two images, float64", points.double().repeat(2, 1, 1), torch.full((2, 9), 16.0).double(), images)
    yield case("distances of a network that is trained", *several, own.clone().requires_grad_())
    yield elsewhere(*several, own, what="points and distances")


def call(answer: Answer, points: Tensor, strides: Tensor, distances: Tensor) -> Any:
    """Return the boxes; where training goes through the distances, their gradient too."""
    if not is_trained([distances]):
        return anywhere(answer, points, strides, distances)
    boxes = answer(points, strides, distances)
    return {"boxes": boxes} | gradients(boxes, {"distances": distances})


def _corners(points: Tensor, left_top: Tensor, right_bottom: Tensor) -> Tensor:
    return torch.cat([points - left_top, points + right_bottom], -1)


def wrong_in_pixels(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return _corners(points, distances[..., :2], distances[..., 2:])


def wrong_divided(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    pixels = distances / strides[..., None]
    return _corners(points, pixels[..., :2], pixels[..., 2:])


def wrong_all_added(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([points, points], -1) + distances * strides[..., None]


def wrong_all_subtracted(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([points, points], -1) - distances * strides[..., None]


def wrong_signs(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, -distances)


def wrong_right_before_top(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances[..., [0, 2, 1, 3]])


def wrong_top_before_left(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances[..., [1, 0, 3, 2]])


def wrong_gives_xywh(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    boxes = decode_distances(points, strides, distances)
    return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)


def wrong_center_and_size(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    boxes = decode_distances(points, strides, distances)
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def wrong_half_a_stride_further(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points + strides[..., None] / 2, strides, distances)


def wrong_y_before_x(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points.flip(-1), strides, distances)


def wrong_exponential(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances.exp())


def wrong_clipped(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances).clamp(min=0)


def wrong_whole_pixels(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances).round()


def wrong_first_stride(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    pixels = distances * (strides.flatten()[0] if strides.numel() else 1)
    return _corners(points, pixels[..., :2], pixels[..., 2:])


def wrong_fixed_stride(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return _corners(points, 8 * distances[..., :2], 8 * distances[..., 2:])


def wrong_point_in_strides(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return _corners(points, distances[..., :2], distances[..., 2:]) * strides[..., None]


def wrong_for_lists_only(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    pixels = distances * strides[:, None]
    return torch.cat([points - pixels[:, :2], points + pixels[:, 2:]], 1)


def wrong_detached(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    return decode_distances(points, strides, distances.detach())


def wrong_signs_on_the_cpu(points, strides, distances):
    signs = torch.tensor([-1, -1, 1, 1], dtype=distances.dtype)
    return torch.cat([points, points], -1) + signs * distances * strides[..., None]


def wrong_in_place(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    with torch.no_grad():
        distances *= strides[..., None]
    return _corners(points, distances[..., :2], distances[..., 2:])


def right_number_by_number(points, strides, distances):
    left, top, right, bottom = (distances * strides.unsqueeze(-1)).unbind(-1)
    x, y = points.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)


def right_with_signs(points, strides, distances):
    signs = distances.new_tensor([-1, -1, 1, 1])
    return torch.cat([points, points], dim=-1) + signs * distances * strides[..., None]


EXERCISE = Exercise(
    "decode_distances",
    lesson=11,
    minutes=4,
    reference=decode_distances,
    cases=cases,
    call=call,
    library=("torchvision.models.detection._utils.BoxLinearCoder",),
    hints=(
        "“The box is beside its point.” Left and top are subtracted from the point, right and bottom are added to it.",
        "“The boxes are tiny.” The distances count strides. Multiply them first; strides needs one more axis for that.",
        "“Nearly there.” pixels = distances * strides[..., None]; then torch.cat([points - pixels[..., :2], "
        "points + pixels[..., 2:]], dim=-1).",
    ),
    wrong=(
        Wrong(wrong_in_pixels, "the distances are taken for pixels, but they are strides"),
        Wrong(wrong_divided, "it divides by the stride: that is what encoding does"),
        Wrong(wrong_all_added, "left and top are added to the point, not subtracted from it"),
        Wrong(wrong_all_subtracted, "right and bottom are subtracted from the point, not added to it"),
        Wrong(wrong_signs, "all signs are the other way around"),
        Wrong(wrong_right_before_top, "the distances are taken for left, right, top, bottom"),
        Wrong(wrong_top_before_left, "the distances are taken for top, left, bottom, right"),
        Wrong(wrong_gives_xywh, "the result is x, y, width, height, but it should be two corners"),
        Wrong(wrong_center_and_size, "the result is center and size, but it should be two corners"),
        Wrong(wrong_half_a_stride_further, "the point is moved by half a stride"),
        Wrong(wrong_y_before_x, "x and y of the points are swapped"),
        Wrong(wrong_exponential, "exp is applied: the head's distances are already at least 0"),
        Wrong(wrong_clipped, "boxes are clipped at 0: that comes later, in the pixels of the image"),
        Wrong(wrong_whole_pixels, "the corners are rounded to whole pixels"),
        Wrong(wrong_first_stride, "the stride of the first cell is used for all"),
        Wrong(wrong_fixed_stride, "8 is hard-coded, whatever the strides are"),
        Wrong(wrong_point_in_strides, "the points are multiplied by the stride, too, but they are pixels already"),
        Wrong(wrong_for_lists_only, "it assumes two dimensions: [:, :2] where [..., :2] is needed"),
        Wrong(wrong_detached, "no gradient flows through the distances (detach on the way)"),
        Wrong(wrong_signs_on_the_cpu),
        Wrong(wrong_in_place, "an argument is overwritten"),
    ),
    right=(right_number_by_number, right_with_signs),
)
