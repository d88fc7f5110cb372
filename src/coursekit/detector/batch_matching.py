"""Match anchors with the ground truth of all images at once, and sample some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coursekit.core.device import prefers_few_launches
from coursekit.detector.anchors import BACKGROUND, IGNORED, MAX_PAIRS
from coursekit.detector.boxes import at_least_float32

# IoUs computed at once on a GPU: a matrix of them takes 64 MB in float32, and four exist at a time.
MAX_PAIRS_GPU = 2**24
KEYS = 2**32  # greater than any key
NONE = 2**34  # in place of a key: not to be sampled
PROPOSAL_ID, GT_ID = 2**31, 2**31 + 2**30  # ids of RoIs, apart from those of anchors


@dataclass(frozen=True)
class Sample:
    """Positions that were sampled in each image: up to Q positives, then negatives.

    Attributes:
        index: (B, S) int64.
        is_real: (B, S) bool; False where an image had nothing left to sample.
        is_positive: (B, Q) bool, of the first Q: the only ones that can be positive.
    """

    index: Tensor
    is_real: Tensor
    is_positive: Tensor


def match(anchors: Tensor, gt: Tensor, fg_iou_thresh: float, bg_iou_thresh: float, allow_low_quality: bool) -> Tensor:
    """Match anchors with ground-truth boxes, as `match_anchors` does for one image.

    Args:
        anchors: (N, 4) xyxy in pixels, the same for all images; or (B, N, 4).
        gt: (B, G, 4) xyxy in pixels.
        fg_iou_thresh, bg_iou_thresh, allow_low_quality: see `match_anchors`.

    Returns:
        (B, N) int64: positions in `gt`, BACKGROUND or IGNORED.
    """
    anchors = anchors.expand(len(gt), *anchors.shape[-2:])  # (B, N, 4)
    max_pairs = MAX_PAIRS_GPU if prefers_few_launches(gt.device) else MAX_PAIRS
    images = max(1, max_pairs // max(1, gt.shape[1] * anchors.shape[1]))  # at a time
    chunk = max(1, max_pairs // max(1, anchors.shape[1]))  # boxes of each of them at a time
    limits = fg_iou_thresh, bg_iou_thresh, allow_low_quality, chunk
    parts = zip(anchors.split(images), gt.split(images), strict=True)
    matches = [_match(of_images, its_gt, *limits) for of_images, its_gt in parts]
    return matches[0] if len(matches) == 1 else torch.cat(matches)


def _match(
    anchors: Tensor, gt: Tensor, fg_iou_thresh: float, bg_iou_thresh: float, allow_low_quality: bool, chunk: int
) -> Tensor:
    """Match the anchors (b, N, 4) of some images, `chunk` boxes of each image at a time."""
    best_iou, matches, is_best_of_a_box = _best(gt[:, :chunk], anchors, allow_low_quality)  # (b, N) each
    for start in range(chunk, gt.shape[1], chunk):
        iou, box_index, is_best = _best(gt[:, start : start + chunk], anchors, allow_low_quality)
        matches = torch.where(iou > best_iou, box_index + start, matches)
        best_iou = torch.maximum(best_iou, iou)
        is_best_of_a_box = is_best_of_a_box | is_best
    if fg_iou_thresh == bg_iou_thresh and not allow_low_quality:
        return matches.masked_fill_(best_iou < bg_iou_thresh, BACKGROUND)
    is_match = best_iou >= fg_iou_thresh
    if allow_low_quality:
        is_match |= is_best_of_a_box
    return torch.where(is_match, matches, (best_iou < bg_iou_thresh) + IGNORED)  # BACKGROUND is IGNORED + 1


def _best(gt: Tensor, anchors: Tensor, allow_low_quality: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the highest IoU of each anchor, with which box, and whether no anchor overlaps some box more."""
    iou = pairwise_iou(gt, anchors)  # (b, G, N)
    best_iou, box_index = iou.max(1)
    if not allow_low_quality:
        return best_iou, box_index, torch.empty(0)
    iou_of_box = iou.amax(2, keepdim=True).clamp(min=torch.finfo(iou.dtype).tiny)  # (b, G, 1)
    return best_iou, box_index, (iou >= iou_of_box).any(1)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of every pair in each image: (B, G, 4) and (B, N, 4) → (B, G, N). See `box_iou`."""
    x1, y1, x2, y2 = at_least_float32(first)[:, :, None].unbind(-1)  # (B, G, 1)
    u1, v1, u2, v2 = at_least_float32(second)[:, None].unbind(-1)  # (B, 1, N)
    width = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).clamp_(min=0)  # (B, G, N)
    intersection = torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).clamp_(min=0).mul_(width)
    union = torch.add((x2 - x1) * (y2 - y1), (u2 - u1) * (v2 - v1), out=width).sub_(intersection)
    return intersection.div_(union.clamp_(min=torch.finfo(union.dtype).tiny))


def sample(matches: Tensor, keys: Tensor, batch_size_per_image: int, positive_fraction: float) -> Sample:
    """Sample positives and negatives of each image, as `sample_balanced` does for one: those with the lowest keys.

    Args:
        matches: (B, N) int64 from `match`.
        keys: (B, N) int64 from `random_keys`.
        batch_size_per_image: the number to sample in an image, at most.
        positive_fraction: the share of it that may be positive, at most.
    """
    count = min(batch_size_per_image, matches.shape[1])
    most = min(int(batch_size_per_image * positive_fraction), count)
    pos_keys, positives = keys.masked_fill(matches < 0, NONE).topk(most, largest=False)  # (B, Q)
    neg_keys, negatives = (keys + KEYS).masked_fill(matches != BACKGROUND, NONE).topk(count, largest=False)
    # Keys of negatives are greater than those of positives, so negatives come second and fill up what is left.
    best = torch.cat([pos_keys, neg_keys], 1).topk(count, largest=False)  # (B, S)
    index = torch.cat([positives, negatives], 1).gather(1, best.indices)
    return Sample(index, best.values < NONE, best.values[:, :most] < KEYS)


def random_keys(seeds: Tensor, anchor_ids: Tensor, proposals: int, gt: int) -> tuple[Tensor, Tensor]:
    """Return random numbers of each image for what may be sampled: of its anchors, and of its RoIs.

    They depend on the seed and the id alone, not on the batch or its padding. They come from integer arithmetic, so
    they are the same on every device. In an image, no two are equal, because each operation can be undone.

    Args:
        seeds: (B,) int64 from 0 to 2³² − 1.
        anchor_ids: (N,) int64, see `anchor_ids`.
        proposals: P, the number of proposals of an image.
        gt: G, the number of ground-truth boxes of an image.

    Returns:
        (B, N) and (B, P + G) int64 from 0 to 2³² − 1.
    """
    ids = torch.cat([anchor_ids, *roi_ids(proposals, gt, anchor_ids.device)])
    keys = scramble(seeds[:, None] ^ ids)
    return keys[:, : len(anchor_ids)], keys[:, len(anchor_ids) :]


def scramble(numbers: Tensor) -> Tensor:
    """Permute the numbers from 0 to 2³² − 1, int64, as the finalizer of Austin Appleby's MurmurHash3 does."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        numbers = ((numbers ^ (numbers >> shift)) * factor) & (KEYS - 1)
    return numbers ^ (numbers >> 16)


def anchor_ids(grids: Sequence[tuple[int, int]], level_sizes: Sequence[int]) -> Tensor:
    """Return an id of each anchor that follows from level, row, column and shape, but not from the size of the batch.

    Args:
        grids: (H, W) of each level.
        level_sizes: anchors of each level, H * W * A.

    Returns:
        (N,) int64, on the CPU.
    """
    ids = []
    for level, ((height, width), count) in enumerate(zip(grids, level_sizes, strict=True)):
        y, x = torch.arange(height)[:, None, None], torch.arange(width)[:, None]
        shape = torch.arange(count // max(1, height * width))
        ids.append(((((level * 4096 + y) * 4096) + x) * 16 + shape).flatten())
    return torch.cat(ids)


def roi_ids(proposals: int, gt: int, device: torch.device) -> list[Tensor]:
    """Return ids of proposals, (P,) int64, and of ground truth, (G,), that don't depend on how many there are."""
    starts_and_counts = ((PROPOSAL_ID, proposals), (GT_ID, gt))
    return [torch.arange(start, start + count, device=device) for start, count in starts_and_counts]
