"""Arithmetic on boxes. A box is xyxy: (x1, y1, x2, y2) in pixels, x to the right and y down."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.data.boxes import Size
from coursekit.data.boxes import xywh_to_xyxy as xywh_to_xyxy
from coursekit.data.boxes import xyxy_to_xywh as xyxy_to_xywh

SCALE_CLAMP = math.log(1000 / 16)  # the largest dw and dh that `decode_boxes` applies, as in torchvision and detectron2
Weights = tuple[float, float, float, float]
UNIT_WEIGHTS: Weights = (1.0, 1.0, 1.0, 1.0)
Part = Callable[..., Any]  # what `choose_parts` can replace: a function of ours, an intern's or torchvision's


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union (IoU) of every pair of boxes.

    Args:
        first: (N, 4) xyxy in pixels.
        second: (M, 4) xyxy in pixels.

    Returns:
        (N, M) from 0 to 1. Two boxes without area have an IoU of 0, not 0 / 0. Half precision is computed and returned
        in float32, because the area of 300 × 300 pixels overflows a float16.

    >>> box_iou(torch.tensor([[0., 0., 10., 10.]]), torch.tensor([[5., 0., 15., 10.], [20., 20., 30., 30.]]))
    tensor([[0.3333, 0.0000]])
    """
    first, second = at_least_float32(first), at_least_float32(second)
    top_left = torch.maximum(first[:, None, :2], second[:, :2])  # (N, M, 2)
    bottom_right = torch.minimum(first[:, None, 2:], second[:, 2:])  # (N, M, 2)
    intersection = (bottom_right - top_left).clamp(min=0).prod(2)  # (N, M)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]  # (N,) and (M,)
    union = areas[0][:, None] + areas[1] - intersection  # (N, M)
    return intersection / union.clamp(min=torch.finfo(union.dtype).tiny)


def clip_boxes(boxes: Tensor, size: Size) -> Tensor:
    """Clip boxes, (..., 4) xyxy in pixels, at the edges of an image of this size, (height, width)."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights = UNIT_WEIGHTS) -> Tensor:
    """Encode boxes as deltas from their anchors (Ren et al., *Faster R-CNN*, 2015, equation 2).

    Args:
        boxes: (..., 4) xyxy in pixels, float, with a width and a height greater than 0.
        anchors: (..., 4) xyxy in pixels, of the same dtype and with a width and a height greater than 0.
        weights: factors for dx, dy, dw and dh. The second stage uses (10, 10, 5, 5), which gives its targets a standard
            deviation of about 1.

    Returns:
        (..., 4) dx, dy, dw, dh, of the same dtype. dx and dy: the shift of the center, in widths and heights of the
        anchor. dw and dh: the natural logarithms of box width / anchor width and box height / anchor height.
    """
    center, side = _center_and_side(boxes)
    anchor_center, anchor_side = _center_and_side(anchors)
    shift, scale = (center - anchor_center) / anchor_side, (side / anchor_side).log()  # (..., 2) each
    return torch.cat([_weighted(shift, *weights[:2]), _weighted(scale, *weights[2:])], dim=-1)


def decode_boxes(deltas: Tensor, anchors: Tensor, weights: Weights = UNIT_WEIGHTS) -> Tensor:
    """Decode deltas into boxes: the inverse of `encode_boxes`.

    Args:
        deltas: (..., 4) dx, dy, dw, dh, float.
        anchors: (..., 4) xyxy in pixels; the leading dimensions broadcast.
        weights: those that `encode_boxes` was given.

    Returns:
        (..., 4) xyxy in pixels. A box is at most 1000/16 times as wide and as high as its anchor, so an untrained head
        can't produce infinite boxes. Half precision is computed and returned in float32.
    """
    deltas, anchors = at_least_float32(deltas), at_least_float32(anchors)
    if weights != UNIT_WEIGHTS:
        deltas = deltas / _filled(weights, deltas)
    anchor_center, anchor_side = _center_and_side(anchors)
    center = anchor_center + deltas[..., :2] * anchor_side  # (..., 2)
    half = 0.5 * anchor_side * deltas[..., 2:].clamp(max=SCALE_CLAMP).exp()  # (..., 2)
    return torch.cat([center - half, center + half], dim=-1)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Apply non-maximum suppression: from the best box down, drop each later box that overlaps it too much.

    A dropped box suppresses nothing. The detector runs torchvision's compiled version, which is twenty times as fast
    and can differ only where an IoU equals the threshold up to rounding.

    Args:
        boxes: (N, 4) xyxy in pixels.
        scores: (N,) float. Of equal scores, the first comes first.
        iou_threshold: a box is dropped if its IoU with a better box that is kept exceeds this.

    Returns:
        (K,) int64, the positions of the boxes that are kept, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    suppresses = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)  # (N, N): [i, j] means that i drops j
    suppresses = suppresses.cpu()  # waits for the GPU
    keep = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if keep[i]:
            keep &= ~suppresses[i]
    return order[keep.to(order.device)]


def nms_by_group(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float, nms: Part) -> Tensor:
    """Apply `nms` within each group: before it, each group is moved to a region of its own.

    Args:
        boxes: (N, 4) xyxy in pixels, without negative coordinates.
        scores: (N,) float.
        groups: (N,) int64, such as classes or levels.
        iou_threshold: as in `nms`.
        nms: the function to call.

    Returns:
        (K,) int64, the positions of the boxes that are kept, best first.
    """
    if not len(boxes):
        return groups  # empty; `boxes.max()` of no boxes is an error
    apart = boxes.double() + (groups * (boxes.double().max() + 1))[:, None]  # float32 would round the shifted boxes
    return nms(apart, scores.double(), iou_threshold)


def at_least_float32(x: Tensor) -> Tensor:
    """Return half precision as float32, and anything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _center_and_side(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return centers and sides of (..., 4) xyxy boxes: two (..., 2), each x before y."""
    side = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * side, side


def _weighted(pairs: Tensor, first: float, second: float) -> Tensor:
    """Multiply (..., 2) by two weights, in as few operations as possible."""
    if first == second:
        return pairs if first == 1 else pairs * first
    return pairs * _filled((first, second), pairs)


def _filled(weights: Sequence[float], like: Tensor) -> Tensor:
    """Return (W,) weights on the device of `like`, without a copy from the CPU, for which a GPU would wait."""
    return torch.stack([like.new_full((), weight) for weight in weights])
