"""Anchors: guesses of where an object is, all over the image, and which of them are right."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coursekit.detector.boxes import Part, box_iou

BACKGROUND, IGNORED = -1, -2
AT_A_TIME = 2**20  # pairs of anchor and box compared at once: 4 MB a matrix of float32, and there are about ten


def make_anchors(
    grid: tuple[int, int], stride: tuple[int, int], sizes: Sequence[float], ratios: Sequence[float]
) -> Tensor:
    """The anchors of one level (Ren et al., *Faster R-CNN*, 2015, section 3.1.1).

    Args:
        grid: cells of the feature map, down and across.
        stride: pixels a cell, down and across.
        sizes: √area of an anchor, in pixels.
        ratios: height over width.

    Returns:
        (H * W * A, 4) float32 xyxy in pixels. The first cell's anchors lie around the pixel (0, 0), their sides rounded
        to halves, as torchvision has it. Order: row by row, in a row cell by cell, in a cell ratio by ratio, in a ratio
        size by size: that in which `RPNHead` flattens its maps.
    """
    shapes = cell_anchors(sizes, ratios)  # (A, 4)
    down, across = torch.meshgrid(
        torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij"
    )  # (H, W)
    corners = torch.stack([across, down, across, down], dim=-1)  # (H, W, 4)
    return (corners[:, :, None] + shapes).reshape(-1, 4)


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """(A, 4) float32 xyxy around the origin, ratio by ratio."""
    tall = torch.tensor(ratios, dtype=torch.float32).sqrt()
    size = torch.tensor(sizes, dtype=torch.float32)
    width, height = (size / tall[:, None]).flatten(), (size * tall[:, None]).flatten()  # (A,)
    return (torch.stack([-width, -height, width, height], dim=1) / 2).round()


def match_anchors(
    anchors: Tensor,
    boxes: Tensor,
    fg_iou_thresh: float = 0.7,
    bg_iou_thresh: float = 0.3,
    allow_low_quality_matches: bool = True,
    *,
    box_iou: Part = box_iou,
) -> Tensor:
    """Which box each anchor is responsible for (Ren et al., 2015, section 3.1.2).

    Args:
        anchors: (A, 4) xyxy.
        boxes: (G, 4) xyxy; there may be none.
        fg_iou_thresh: from this IoU on an anchor takes the box that it overlaps most; of equals, the first.
        bg_iou_thresh: below it an anchor is background. Between the two it is ignored.
        allow_low_quality_matches: the anchors that overlap a box most of all (all of them, on a tie) are kept even below `fg_iou_thresh`, each
            for the box that it overlaps most itself. A box that no anchor overlaps gets none.

    Returns:
        (A,) int64 on the anchors' device: a position in `boxes`, or BACKGROUND (-1), or IGNORED (-2).
    """
    best = anchors.new_zeros(len(anchors), dtype=torch.promote_types(anchors.dtype, torch.float32))
    match = torch.zeros_like(best, dtype=torch.int64)
    is_a_best = torch.zeros_like(match, dtype=torch.bool)
    few = max(1, AT_A_TIME // max(1, len(anchors)))  # boxes at a time, so that a crowd doesn't fill the memory
    for start in range(0, len(boxes), few):
        overlap = box_iou(boxes[start : start + few], anchors)  # (few, A)
        value, row = overlap.max(0)
        match = torch.where(value > best, row + start, match)
        best = torch.maximum(best, value)
        most = overlap.amax(1, keepdim=True).clamp(min=torch.finfo(overlap.dtype).tiny)
        is_a_best |= (overlap >= most).any(0)
    wanted = (best >= fg_iou_thresh) | is_a_best if allow_low_quality_matches else best >= fg_iou_thresh
    return torch.where(wanted, match, torch.where(best < bg_iou_thresh, BACKGROUND, IGNORED))


def sample_balanced(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """A random few of the anchors, because nearly all are background (Ren et al., 2015, section 3.1.3).

    Args:
        matches: (A,) int64 from `match_anchors`.
        batch_size_per_image: how many in all, at most.
        positive_fraction: at most this share of `batch_size_per_image` is positive; background fills up what positives leave free.
        generator: what to draw from; torch's own where none is given.

    Returns:
        (P,) and (N,) int64: positions of the positives and of the negatives, drawn in this order.
    """
    positives = torch.where(matches >= 0)[0]  # waits for the GPU: how many there are decides the shapes
    negatives = torch.where(matches == BACKGROUND)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    some = torch.randperm(len(positives), generator=generator, device=matches.device)[:most]
    others = torch.randperm(len(negatives), generator=generator, device=matches.device)[: batch_size_per_image - most]
    return positives[some], negatives[others]
