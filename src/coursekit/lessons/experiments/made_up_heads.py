"""Heads that were never trained: one that is always right, and one whose maps are flattened in the wrong order."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coursekit.detector.boxes import Part

SURE = 6.0  # a logit: a probability of 99.8 %


def perfect_head(anchors: Tensor, matches: Tensor, boxes: Tensor, encode_boxes: Part) -> tuple[Tensor, Tensor]:
    """Return the logits (N,) and deltas (N, 4) of a head that is sure and right.

    Args:
        anchors: (N, 4) xyxy in pixels.
        matches: (N,) from `match_anchors`.
        boxes: (G, 4) xyxy, the ground truth.
        encode_boxes: the function to use, such as your own.
    """
    positive = matches >= 0
    deltas = torch.zeros(len(anchors), 4)
    deltas[positive] = encode_boxes(boxes[matches[positive]], anchors[positive])
    return torch.where(positive, SURE, -SURE), deltas


def flattened_wrongly(
    logits: Tensor, deltas: Tensor, level_sizes: Sequence[int], anchors_per_cell: int = 2
) -> tuple[Tensor, Tensor]:
    """Return the outputs of the same head if its maps were only flattened: all cells of an anchor one after the other.

    Args:
        logits, deltas: (N,) and (N, 4), in the order of the anchors.
        level_sizes: how many of the N anchors are on each level.
        anchors_per_cell: A.
    """
    first, second = (_only_flattened(values, level_sizes, anchors_per_cell) for values in (logits, deltas))
    return first, second


def _only_flattened(values: Tensor, level_sizes: Sequence[int], anchors_per_cell: int) -> Tensor:
    levels = [part.unflatten(0, (-1, anchors_per_cell)) for part in values.split(list(level_sizes))]  # (H * W, A, …)
    return torch.cat([level.transpose(0, 1).flatten(0, 1) for level in levels])
