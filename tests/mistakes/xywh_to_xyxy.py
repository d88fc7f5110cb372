"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch


def wrong_returns_it_unchanged(boxes):
    return boxes.clone()


def wrong_swaps_the_axes(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([y, x, y + h, x + w], -1)


def wrong_adds_width_to_top(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + h, y + w], -1)


def wrong_counts_the_last_pixel_out(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w - 1, y + h - 1], -1)


def wrong_takes_the_corner_for_the_centre(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)


def wrong_writes_into_its_input(boxes):
    boxes[..., 2:] += boxes[..., :2]
    return boxes


def wrong_only_for_lists_of_boxes(boxes):
    return torch.stack([boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]], 1)


def wrong_stacks_along_the_wrong_dimension(boxes):
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x, y, x + w, y + h])


def wrong_always_float(boxes):
    x, y, w, h = boxes.float().unbind(-1)
    return torch.stack([x, y, x + w, y + h], -1)


def wrong_gives_a_list(boxes):
    return [(x, y, x + w, y + h) for x, y, w, h in boxes.reshape(-1, 4).tolist()]


def right_by_concatenation(boxes):
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def right_by_a_matrix(boxes):
    matrix = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=boxes.dtype)
    return boxes @ matrix
