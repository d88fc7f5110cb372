"""Exercise 0.1: convert COCO's boxes into two corners."""

from collections.abc import Iterator

import torch

from coursekit.data.boxes import xywh_to_xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one box", torch.tensor([[10.0, 20.0, 30.0, 40.0]]))
    yield case("integers, and a box of width 0", torch.tensor([[5, 6, 0, 1], [1, 2, 3, 4]]))
    yield case("seven boxes", 100 * torch.rand(7, 4, generator=generator))
    yield case("no boxes", torch.empty(0, 4))
    yield case("a single box of shape (4,)", 100 * torch.rand(4, generator=generator))
    yield case("boxes of shape (2, 3, 4)", 100 * torch.rand(2, 3, 4, generator=generator))
    yield case("float64", 100 * torch.rand(5, 4, generator=generator, dtype=torch.float64))


# Wrong answers


def wrong_unchanged(boxes):
    return boxes.clone()


def wrong_adds_width_to_top(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + h, y + w], -1)


def wrong_swaps_x_and_y(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([y, x, y + h, x + w], -1)


def wrong_counts_the_last_pixel_out(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w - 1, y + h - 1], -1)


def wrong_takes_the_corner_for_the_center(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)


def wrong_adds_half_the_sides(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w / 2, y + h / 2], -1)


def wrong_in_place(boxes):
    boxes[..., 2:] += boxes[..., :2]
    return boxes


def wrong_needs_two_dimensions(boxes):
    return torch.stack([boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], 1)


def wrong_stacks_along_the_first_dimension(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w, y + h])


def wrong_always_float32(boxes):
    x, y, w, h = boxes.float().unbind(-1)
    return torch.stack([x, y, x + w, y + h], -1)


def wrong_returns_a_list(boxes):
    return [(x, y, x + w, y + h) for x, y, w, h in boxes.reshape(-1, 4).tolist()]


# Right answers


def right_by_concatenation(boxes):
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def right_by_a_matrix(boxes):
    matrix = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=boxes.dtype)
    return boxes @ matrix


EXERCISE = Exercise(
    "xywh_to_xyxy",
    lesson=0,
    minutes=5,
    reference=xywh_to_xyxy,
    cases=cases,
    hints=(
        "“My boxes are mirrored, or far too small.” Width and height are lengths, not coordinates. What do you add a width "
        "to, to get the right edge?",
        "“It works for many boxes, but not for one.” boxes[:, 2] needs two dimensions. boxes[..., 2] takes the third number "
        "of the last dimension, whatever the shape. boxes.unbind(-1) returns all four columns at once.",
        "“The check says that I changed the input.” boxes[..., 2] += … writes into the tensor you were given. Make a new "
        "one: left, top, width, height = boxes.unbind(-1), then torch.stack([left, top, …, …], dim=-1).",
    ),
    wrong=(
        Wrong(wrong_unchanged, "nothing is converted: the last two numbers are still width and height"),
        Wrong(wrong_adds_width_to_top, "the width is added to the top, and the height to the left"),
        Wrong(wrong_swaps_x_and_y, "x and y are swapped"),
        Wrong(wrong_counts_the_last_pixel_out, "x + w - 1 is the last pixel, but COCO's boxes end at its right edge"),
        Wrong(wrong_takes_the_corner_for_the_center, "the top left corner is taken for the center"),
        Wrong(wrong_adds_half_the_sides, "only half of the width and height is added"),
        Wrong(wrong_in_place, "the input tensor is overwritten"),
        Wrong(wrong_needs_two_dimensions, "only boxes of shape (N, 4) work, not a single box of shape (4,)"),
        Wrong(wrong_stacks_along_the_first_dimension),
        Wrong(wrong_always_float32),
        Wrong(wrong_returns_a_list),
    ),
    right=(right_by_concatenation, right_by_a_matrix),
    library=("torchvision.ops.box_convert",),
)
