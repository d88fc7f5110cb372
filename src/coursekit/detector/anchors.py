"""Anchors: boxes all over the image, the matching of anchors with ground truth, and the sampling of a few of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coursekit.detector.boxes import Part, box_iou

BACKGROUND, IGNORED = -1, -2
MAX_PAIRS = 2**20  # IoUs computed at once: a matrix of them takes 4 MB in float32, and about ten exist at a time


def make_anchors(
    grid: tuple[int, int], stride: tuple[int, int], sizes: Sequence[float], ratios: Sequence[float]
) -> Tensor:
    """Return the anchors of one pyramid level (Ren et al., *Faster R-CNN*, 2015, section 3.1.1).

    Args:
        grid: (H, W) cells of the level's feature map.
        stride: pixels per cell, vertically and horizontally.
        sizes: square roots of the anchors' areas, in pixels.
        ratios: height / width of the anchors.

    Returns:
        (H * W * A, 4) float32 xyxy in pixels, with A = len(sizes) * len(ratios). As in torchvision, the anchors of the
        first cell are centered on pixel (0, 0), and their corners are rounded to whole pixels. The order is row by row,
        cell by cell, ratio by ratio, size by size: the order in which `RPNHead` flattens its maps.
    """
    shapes = cell_anchors(sizes, ratios)  # (A, 4)
    y, x = torch.meshgrid(
        torch.arange(grid[0]) * stride[0], torch.arange(grid[1]) * stride[1], indexing="ij"
    )  # (H, W) each
    centers = torch.stack([x, y, x, y], dim=-1)  # (H, W, 4)
    return (centers[:, :, None] + shapes).reshape(-1, 4)


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Return the anchors of a cell at the origin, (A, 4) float32 xyxy in pixels, ratio by ratio."""
    root = torch.tensor(ratios, dtype=torch.float32).sqrt()
    size = torch.tensor(sizes, dtype=torch.float32)
    width, height = (size / root[:, None]).flatten(), (size * root[:, None]).flatten()  # (A,) each
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
    """Match each anchor with a ground-truth box, or with the background (Ren et al., 2015, section 3.1.2).

    Args:
        anchors: (N, 4) xyxy in pixels. N may be 0.
        boxes: (G, 4) xyxy in pixels: the ground truth. G may be 0.
        fg_iou_thresh: an anchor whose highest IoU is at least this is matched with that box; on a tie, with the first.
        bg_iou_thresh: an anchor whose highest IoU is below this is background. In between it is ignored.
        allow_low_quality_matches: also match the anchors that have the highest IoU with some box (all of them, on a
            tie), whatever that IoU is. Such an anchor goes to the box that it overlaps most itself. A box that overlaps
            no anchor gets none.

    Returns:
        (N,) int64 on the anchors' device: a position in `boxes`, BACKGROUND (-1) or IGNORED (-2).
    """
    if not len(anchors):
        return torch.empty(0, dtype=torch.int64, device=anchors.device)
    best_iou = anchors.new_zeros(len(anchors), dtype=torch.promote_types(anchors.dtype, torch.float32))  # (N,)
    matches = torch.zeros_like(best_iou, dtype=torch.int64)
    is_best_of_a_box = torch.zeros_like(matches, dtype=torch.bool)
    chunk = max(1, MAX_PAIRS // len(anchors))  # boxes at a time, so that a crowd doesn't fill the memory
    for start in range(0, len(boxes), chunk):
        iou = box_iou(boxes[start : start + chunk], anchors)  # (chunk, N)
        iou_of_anchor, box_index = iou.max(0)  # (N,) each
        matches = torch.where(iou_of_anchor > best_iou, box_index + start, matches)
        best_iou = torch.maximum(best_iou, iou_of_anchor)
        iou_of_box = iou.amax(1, keepdim=True).clamp(min=torch.finfo(iou.dtype).tiny)  # (chunk, 1)
        is_best_of_a_box |= (iou >= iou_of_box).any(0)
    is_match = best_iou >= fg_iou_thresh
    if allow_low_quality_matches:
        is_match |= is_best_of_a_box
    return torch.where(is_match, matches, torch.where(best_iou < bg_iou_thresh, BACKGROUND, IGNORED))


def sample_balanced(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Sample some anchors at random, because nearly all of them are background (Ren et al., 2015, section 3.1.3).

    Args:
        matches: (N,) int64 from `match_anchors`.
        batch_size_per_image: the number of anchors to sample, at most.
        positive_fraction: the share of `batch_size_per_image` that may be positive, at most. Negatives fill the rest.
        generator: the random generator to draw from, on the device of `matches`; by default torch's own.

    Returns:
        Two 1-D int64 tensors: positions of the positive anchors, and of the negative ones. Positives are drawn first.
    """
    positives = torch.where(matches >= 0)[0]  # waits for the GPU: the number of positives decides the shapes
    negatives = torch.where(matches == BACKGROUND)[0]
    num_pos = min(len(positives), int(batch_size_per_image * positive_fraction))
    num_neg = batch_size_per_image - num_pos
    drawn_pos = torch.randperm(len(positives), generator=generator, device=matches.device)[:num_pos]
    drawn_neg = torch.randperm(len(negatives), generator=generator, device=matches.device)[:num_neg]
    return positives[drawn_pos], negatives[drawn_neg]
