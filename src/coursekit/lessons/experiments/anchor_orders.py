"""The six orders in which a head's map can be flattened, and which checks notice the five wrong ones. Lesson 04."""

from itertools import permutations

import torch
from torch import Tensor

AXES = "AHW"  # of a map: the anchors of a cell, rows, columns
RIGHT = (1, 2, 0)  # row by row, cell by cell, anchor by anchor


def try_checks(anchors: Tensor, predicted: Tensor, stride: int) -> None:
    """Flatten a map in each order of its axes, and print what two lenient checks and a strict one say.

    Args:
        anchors: (H * W * A, 4) xyxy in pixels, of one level.
        predicted: (A, H, W), a number for each anchor, as a convolution returns it.
        stride: pixels per cell.
    """
    right = predicted.permute(RIGHT).flatten()
    print("order     same shape   same numbers   at their address")
    for order in permutations(range(3)):
        flat = predicted.permute(order).flatten()
        same_shape, same_numbers = flat.shape == right.shape, torch.equal(flat.sort()[0], right.sort()[0])
        name, home = ", ".join(AXES[axis] for axis in order), share_at_home(anchors, predicted.shape, order, stride)
        print(f"{name:9} {same_shape!s:12} {same_numbers!s:14} {home:.1%}")


def share_at_home(anchors: Tensor, shape: tuple[int, ...], order: tuple[int, ...], stride: int) -> float:
    """Return which share of the anchors is at the address that a head predicts for it.

    The head predicts where its numbers come from, such as "shape 3, row 5, column 11".

    Args:
        anchors: (H * W * A, 4) xyxy in pixels; the first A have the shapes 0, 1, …
        shape: (A, H, W) of the head's map.
        order: of its axes, in which the map is flattened.
        stride: pixels per cell.
    """
    address = torch.meshgrid(*(torch.arange(length) for length in shape), indexing="ij")  # three times (A, H, W)
    kind, row, column = (part.permute(order).flatten() for part in address)
    centers, sides = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    in_its_cell = (centers == stride * torch.stack([column, row], 1)).all(1)
    return (in_its_cell & (sides == sides[kind]).all(1)).float().mean().item()
