"""Recall of proposals: the share of the objects that they find, whatever their class."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from coursekit.data.boxes import Target
from coursekit.detector.boxes import Part, box_iou

FOUND_FROM = 0.5  # IoU


def recall_at(proposals: Sequence[Tensor], boxes: Sequence[Tensor], k: int) -> float:
    """Return the share of the objects that the best k proposals of their image find.

    A proposal finds every object that it overlaps with an IoU of 0.5 or more.

    Args:
        proposals: (P, 4) xyxy in pixels for each image, best first. P may be 0.
        boxes: (G, 4) xyxy in pixels for each image: the ground truth. G may be 0.
        k: the number of proposals that count in each image; an image may have fewer.

    Returns:
        A number from 0 to 1, for the objects of all images together. NaN if there are none.
    """
    pairs = zip(boxes, proposals, strict=True)
    is_found = [(box_iou(gt_boxes, best[:k]) >= FOUND_FROM).any(dim=1) for gt_boxes, best in pairs]
    return torch.cat(is_found).float().mean().item()


def recall_by_size(
    proposals: Sequence[Tensor],
    targets: Sequence[Target],
    edges: Sequence[float],
    k: int = 10**6,
    *,
    recall_at: Part = recall_at,
) -> list[float]:
    """Return, for each size range, the share of objects that have a proposal with IoU 0.5 or more, of any class.

    Args:
        proposals: (P, 4) xyxy for each image, best first.
        targets: targets of each image, in the same pixels.
        edges: limits of the size ranges, as √area in pixels, ascending.
        k: the number of proposals that count in each image; by default all.
        recall_at: the function to use, such as your own.

    Returns:
        A share from 0 to 1 for each range between two neighboring edges; NaN for a range without ground truth.
    """
    boxes = [target["boxes"] for target in targets]
    return [recall_at(proposals, [of_size(gt, *limits) for gt in boxes], k) for limits in pairwise(edges)]


def of_size(boxes: Tensor, low: float, high: float) -> Tensor:
    """Return the boxes, (N, 4) xyxy, whose √area is at least `low` and less than `high` pixels."""
    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    return boxes[(side >= low) & (side < high)]
