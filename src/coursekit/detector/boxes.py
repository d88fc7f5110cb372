"""Arithmetic on boxes: xyxy corners in pixels, x to the right, y down."""

import math
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from coursekit.data.boxes import xywh_to_xyxy as xywh_to_xyxy
from coursekit.data.boxes import xyxy_to_xywh as xyxy_to_xywh

MOST_GROWTH = math.log(1000 / 16)  # how far a box may outgrow its anchor: beyond it exp() would overflow early on
Weights = tuple[float, float, float, float]
Part = Callable[..., Any]  # one of ours, an intern's or torchvision's: see parts.py


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each box with each: (N, 4) and (M, 4) xyxy → (N, M) in 0 to 1.

    Two boxes without area have 0, not 0 / 0. Half precision is computed in float32: 300² no longer fits a float16.

    >>> box_iou(torch.tensor([[0., 0., 10., 10.]]), torch.tensor([[5., 0., 15., 10.], [20., 20., 30., 30.]]))
    tensor([[0.3333, 0.0000]])
    """
    first, second = at_least_float32(first), at_least_float32(second)
    top_left = torch.maximum(first[:, None, :2], second[:, :2])  # (N, M, 2)
    bottom_right = torch.minimum(first[:, None, 2:], second[:, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(2)  # (N, M)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - intersection
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 4) xyxy cut at the edges of an image of this height and width."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """What a head must say at an anchor to get a box (Ren et al., *Faster R-CNN*, 2015, equation 2).

    Args:
        boxes: (..., 4) xyxy, with some width and height.
        anchors: (..., 4) xyxy.
        weights: of dx, dy, dw, dh: the second stage takes (10, 10, 5, 5), so that its targets have a spread of about 1.

    Returns:
        (..., 4) on the same device, of the same dtype: dx, dy in sides of the anchor; dw, dh logarithms of how often
        the anchor's side fits.
    """
    center, side = _center_and_side(boxes)
    anchor_center, anchor_side = _center_and_side(anchors)
    shift, growth = (center - anchor_center) / anchor_side, (side / anchor_side).log()
    return torch.cat([shift, growth], dim=-1) * boxes.new_tensor(weights)


def decode_boxes(deltas: Tensor, anchors: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The box that a head means: the inverse of `encode_boxes`. Shapes as there; leading dimensions broadcast.

    Growth is capped at a factor of 1000/16, so that an untrained head gives no infinite box. Half precision is computed
    in float32.
    """
    deltas, anchors = at_least_float32(deltas), at_least_float32(anchors)
    deltas = deltas / deltas.new_tensor(weights)
    anchor_center, anchor_side = _center_and_side(anchors)
    center = anchor_center + deltas[..., :2] * anchor_side
    half = 0.5 * anchor_side * deltas[..., 2:].clamp(max=MOST_GROWTH).exp()
    return torch.cat([center - half, center + half], dim=-1)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: from the best box down, drop every later one that overlaps it too much.

    A box that was dropped suppresses none. The detector runs torchvision's compiled twin, which is twenty times as
    fast, and equal but for an IoU that is the threshold to the last bit.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,). Of equal ones, the first comes first.
        iou_threshold: an IoU above it is too much.

    Returns:
        (K,) positions of the boxes kept, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    overlaps = (
        (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1).cpu()
    )  # (N, N): row i: the later ones it drops
    kept = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if kept[row]:
            kept &= ~overlaps[row]
    return order[kept.to(order.device)]


def nms_by_group(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float, nms: Part) -> Tensor:
    """`nms` among the boxes of one group only: each group is moved to where no other is.

    Args:
        boxes: (N, 4) xyxy, not negative.
        scores: (N,). groups: (N,) int64, such as classes or levels.
    """
    if not len(boxes):
        return groups  # boxes.max() of none is an error
    offset = groups.to(boxes.dtype) * (boxes.max() + 1)
    return nms(boxes + offset[:, None], scores, iou_threshold)


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _center_and_side(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) xyxy → two (..., 2), x and y."""
    side = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * side, side


def only_known(part: Callable[..., Any], **named: Any) -> dict[str, Any]:
    """Those arguments that are there and that a part takes: an intern's need not know of generators."""
    return {name: value for name, value in named.items() if value is not None and name in signature(part).parameters}
