"""Exercise 0.1: convert COCO's boxes into two corners."""

from collections.abc import Iterator

import torch

from coursekit.data.boxes import xywh_to_xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one box", torch.tensor([[10.0, 20.0, 30.0, 40.0]]))
    yield case("integers, and a box of width 0", torch.tensor([[5, 6, 0, 1], [1, 2, 3, 4]]))
    yield case("seven boxes", 100 * torch.rand(7, 4, generator=generator))
    yield case("no boxes", torch.empty(0, 4))
    yield case("a single box of shape (4,)", 100 * torch.rand(4, generator=generator))
    yield case("boxes of shape (2, 3, 4)", 100 * torch.rand(2, 3, 4, generator=generator))
    yield case("a box that begins left of and above the image", torch.tensor([[-10.0, -20.0, 4.0, 50.0]]))
    yield case(
        "boxes of shape (2, 3, 4) that are not contiguous",
        100 * torch.rand(4, 3, 2, generator=generator).permute(2, 1, 0),
    )
    yield case("float64", 100 * torch.rand(5, 4, generator=generator, dtype=torch.float64))
    yield on_a_gpu(torch.tensor([[10.0, 20.0, 30.0, 40.0]]))


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


def wrong_subtracts(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, w - x, h - y], -1)


def wrong_clips_at_zero(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x.clamp(min=0), y.clamp(min=0), x + w, y + h], -1)


def wrong_width_twice(boxes):
    x, y, w, _ = boxes.unbind(-1)
    return torch.stack([x, y, x + w, y + w], -1)


def wrong_adds_x_to_both(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w, x + h], -1)


def wrong_pairs_of_an_axis(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, x + w, y, y + h], -1)


def wrong_view_of_what_is_not_contiguous(boxes):
    rows = boxes.view(-1, 4)
    return torch.cat([rows[:, :2], rows[:, :2] + rows[:, 2:]], 1).view(boxes.shape)


def wrong_made_on_the_cpu(boxes):
    corners = torch.zeros(boxes.shape, dtype=boxes.dtype)
    corners[..., :2] = boxes[..., :2]
    corners[..., 2:] = boxes[..., :2] + boxes[..., 2:]
    return corners


def wrong_integers(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w, y + h], -1).long()


# Right answers


def right_by_concatenation(boxes):
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def right_by_a_matrix(boxes):
    matrix = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    matrix = matrix.to(boxes)
    return boxes @ matrix


def right_row_by_row(boxes):
    rows = [[x, y, x + w, y + h] for x, y, w, h in boxes.reshape(-1, 4).tolist()]
    return torch.tensor(rows, dtype=boxes.dtype, device=boxes.device).reshape(boxes.shape)


def right_into_a_copy(boxes):
    corners = boxes.clone()
    corners[..., 2:] += boxes[..., :2]
    return corners


EXERCISE = Exercise(
    "xywh_to_xyxy",
    lesson=0,
    minutes=8,
    reference=xywh_to_xyxy,
    cases=cases,
    call=anywhere,
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
        Wrong(wrong_subtracts, "the corner is subtracted from width and height, not added"),
        Wrong(
            wrong_clips_at_zero,
            "negative coordinates are clipped at 0, which no one asked for: the box changes its size",
        ),
        Wrong(wrong_width_twice, "the width is added to y, too: y2 needs the height"),
        Wrong(wrong_adds_x_to_both, "x is added to the height, too: y2 needs y"),
        Wrong(wrong_pairs_of_an_axis, "the order is x1, x2, y1, y2: both corners are needed, x1, y1, x2, y2"),
        Wrong(
            wrong_view_of_what_is_not_contiguous,
            "`view` fails if the numbers are not next to each other in memory: use `reshape`, or index the last dimension",
        ),
        Wrong(wrong_made_on_the_cpu),
        Wrong(wrong_integers, "whole numbers (int64), although boxes have fractions of pixels"),
    ),
    right=(right_by_concatenation, right_by_a_matrix, right_row_by_row, right_into_a_copy),
    library=("torchvision.ops.box_convert",),
)
