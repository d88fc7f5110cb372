"""What both kinds of detectors need to compute with shapes that don't depend on the image.

Where an image has fewer boxes than there are places, the rest is padding: boxes of zeros with a score of DROPPED.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.data.padded_images import padded_side
from coursekit.export.nms_op import DROPPED, suppress

MOST_CANDIDATES = 1000  # boxes that `best_with` compares with one another: their IoUs are a matrix
PaddedNms = Callable[[Tensor, Tensor, float, int], Tensor]


def best_of_groups(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> tuple[Tensor, Tensor]:
    """Apply NMS within each group, and find the best boxes that are left, of all groups together.

    Args:
        boxes: (G, N, 4) xyxy in pixels.
        scores: (G, N), DROPPED where there is no box.
        iou_threshold: see `boxes.nms`.
        count: how many to find.

    Returns:
        Their scores, (count,), best first, then DROPPED; and their places among the G * N boxes, (count,) int64.
    """
    kept = suppress(boxes, scores, iou_threshold).flatten()
    best, places = kept.topk(min(count, len(kept)))
    return best, places


def best_with(nms: PaddedNms, boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> tuple[Tensor, Tensor]:
    """Do what `best_of_groups` does with a function such as `nms_padded`, on the best MOST_CANDIDATES boxes.

    Groups are moved apart in float64, as `nms_by_group` does.
    """
    group = torch.arange(len(boxes))[:, None, None]
    apart = (boxes.double() + group * (boxes.double().max() + 1)).flatten(0, 1)
    best, candidates = scores.flatten().topk(min(MOST_CANDIDATES, scores.numel()))
    index = nms(apart[candidates], torch.where(best >= 0, best, -torch.inf), iou_threshold, min(count, len(best)))
    is_real, index = index >= 0, index.clamp(min=0)
    return torch.where(is_real, best[index], DROPPED), candidates[index]


def rows(boxes: Tensor, places: Tensor, scores: Tensor) -> Tensor:
    """Return the boxes, (count, 4), at these places; zeros in the padding."""
    return torch.where((scores >= 0)[:, None], boxes[places], 0.0)


def clip(boxes: Tensor, image_size: Tensor) -> Tensor:
    """Clip boxes, (..., 4), at the edges of an image of this size, a tensor (height, width)."""
    edges = image_size.flip(0).repeat(2)  # width, height, width, height
    return torch.minimum(boxes.clamp(min=0), edges)


def pad_image(image: Tensor) -> Tensor:
    """Pad (1, 3, H, W) with zeros to sides that the strides divide, as `to_batch` does."""
    height, width = image.shape[2:]
    return F.pad(image, (0, padded_side(width) - width, 0, padded_side(height) - height))
