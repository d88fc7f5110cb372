"""Non-maximum suppression of all images at once: on a GPU in one call, on a CPU in many."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops

from coursekit.core.device import prefers_few_launches

MAX_NMS_BOXES = 50_000  # boxes in one call: on a GPU, a call takes N² / 8 bytes, here 313 MB
SPAN = 2**16  # pixels from group to group, more than the side of any image; float64 has 37 bits left for the rest


def nms_of_groups(
    boxes: Tensor, scores: Tensor, keep: Tensor, counts: Sequence[int], iou_threshold: float, top_n: int
) -> tuple[Tensor, Tensor]:
    """Apply NMS within each group of each image, and find the best that are left.

    On a CPU, a call for each group is fastest. On a GPU, one call for all is: groups are moved apart, in float64,
    because in float32 the shift would round the boxes.

    Args:
        boxes: (B, M, 4) xyxy in pixels, without negative coordinates.
        scores: (B, M) float.
        keep: (B, M) bool; other boxes are dropped and suppress nothing.
        counts: sizes of the groups, which follow one another and sum to M.
        iou_threshold: see `boxes.nms`.
        top_n: how many to keep in an image, at most.

    Returns:
        index (B, T) int64, best first, and is_real (B, T) bool, T at most `top_n`.
    """
    scores = scores.masked_fill(~keep, -1.0)  # they come last, where they suppress nothing
    if prefers_few_launches(boxes.device):
        dropped = _nms_in_one_call(boxes, scores, counts, iou_threshold)
    else:
        dropped = _nms_by_group(boxes, scores, counts, iou_threshold)
    order = scores.masked_fill(dropped, -1.0).sort(dim=1, descending=True, stable=True)  # (B, M)
    is_real = order.values[:, :top_n] >= 0
    if not prefers_few_launches(boxes.device):
        is_real = is_real[:, : max(1, int(is_real.sum(1).max()))]  # less padding, for which a GPU would have to wait
    return order.indices[:, : is_real.shape[1]], is_real


def _nms_in_one_call(boxes: Tensor, scores: Tensor, counts: Sequence[int], iou_threshold: float) -> Tensor:
    """Return which boxes NMS drops, (B, M) bool."""
    images, device, step = len(boxes), boxes.device, SPAN * len(counts)
    of_image = torch.arange(0, images * step, step, device=device, dtype=torch.float64)  # (B,), in pixels
    of_group = [torch.full((count,), group * SPAN, device=device) for group, count in enumerate(counts)]
    apart = (of_image[:, None] + torch.cat(of_group))[..., None] + boxes  # (B, M, 4)
    dropped = torch.ones_like(scores, dtype=torch.bool)
    at_once = max(1, MAX_NMS_BOXES // max(1, boxes.shape[1]))  # images
    for start in range(0, images, at_once):
        part = slice(start, start + at_once)
        positions = ops.nms(apart[part].flatten(0, 1), scores[part].flatten().double(), iou_threshold)  # waits
        dropped[part].view(-1).index_fill_(0, positions, False)
    return dropped


def _nms_by_group(boxes: Tensor, scores: Tensor, counts: Sequence[int], iou_threshold: float) -> Tensor:
    """Return which boxes NMS drops, (B, M) bool."""
    dropped = torch.ones_like(scores, dtype=torch.bool)
    for image in range(len(boxes)):
        groups = zip(*(tensor[image].split(counts) for tensor in (boxes, scores, dropped)), strict=True)
        for of_group, its_scores, is_dropped in groups:
            is_dropped[ops.nms(of_group, its_scores, iou_threshold)] = False
    return dropped


def nms_of_classes(
    boxes: Tensor, scores: Tensor, image: Tensor, label: Tensor, images: int, iou_threshold: float
) -> Tensor:
    """Apply NMS within each class of each image, in float64 and in as few calls as memory allows.

    Args:
        boxes: (N, 4) xyxy in pixels, without negative coordinates.
        scores: (N,) float.
        image: (N,) int64, ascending.
        label: (N,) int64.
        images: the number of images.
        iou_threshold: see `boxes.nms`.

    Returns:
        (K,) int64, the positions of the boxes that are kept; those of an image are in order of their scores.
    """
    if not len(boxes):
        return image
    group = image * (label.max() + 1) + label
    apart = boxes.double() + (group * SPAN)[:, None]
    kept, start = [], 0
    for length in _lengths(count_each(image, images), MAX_NMS_BOXES):
        part = slice(start, start + length)
        kept.append(ops.nms(apart[part], scores[part].double(), iou_threshold) + start)  # waits
        start += length
    return torch.cat(kept)


def _lengths(counts: Sequence[int], most: int) -> list[int]:
    """Join neighboring counts as long as their sum is at most `most`."""
    lengths = [0]
    for count in counts:
        if lengths[-1] and lengths[-1] + count > most:
            lengths.append(0)
        lengths[-1] += count
    return lengths


def count_each(numbers: Tensor, most: int) -> list[int]:
    """Return how often each of 0, 1, …, `most` − 1 occurs. Unlike `bincount`, this waits for a GPU once."""
    return (numbers[:, None] == torch.arange(most, device=numbers.device)).sum(0).tolist()
