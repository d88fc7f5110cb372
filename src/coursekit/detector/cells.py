"""The cells of a one-stage detector: where they are, which object each answers for, and how it states a box.

From FCOS (Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection*, 2019; the numbers of equations and
sections are those of arXiv:1904.01355v5), with the details of torchvision's. N is the number of cells of all levels
together.
"""

import torch
from torch import Tensor

from coursekit.data.boxes import Size
from coursekit.detector.boxes import at_least_float32

CENTER_RADIUS = 1.5  # strides


def cell_points(grid: Size, stride: int | Size) -> Tensor:
    """Return where the cells of one level are in the image.

    Args:
        grid: (H, W) cells of the level's feature map.
        stride: pixels per cell; a pair if they differ vertically and horizontally.

    Returns:
        (H * W, 2) float32 x and y in pixels, row by row. As in torchvision, and as for anchors, the first cell is at
        (0, 0). In the paper, it is half a stride further to the right and down.
    """
    down, right = (stride, stride) if isinstance(stride, int) else stride
    y, x = torch.meshgrid(torch.arange(grid[0]) * down, torch.arange(grid[1]) * right, indexing="ij")  # (H, W) each
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


def assign_cells(points: Tensor, strides: Tensor, ranges: Tensor, gt_boxes: Tensor) -> Tensor:
    """Choose the ground-truth box that each cell answers for (section 3.2; center sampling: table 3).

    A cell can answer for a box if three things hold, all of them strictly:

    - Its point is inside the box.
    - Its point is less than 1.5 strides from the center of the box, in x and in y.
    - The largest of the distances from the point to the four sides is between the two limits of the cell's level.

    Of several such boxes, the one with the smallest area wins, and of equal areas the first one.

    Args:
        points: (N, 2) x and y in pixels.
        strides: (N,) pixels per cell of each cell's level.
        ranges: (N, 2) lower and upper limit of each cell's level, in pixels.
        gt_boxes: (G, 4) xyxy in pixels; G may be 0. A box without area, such as padding, has no point inside.

    Returns:
        (N,) int64, the position in `gt_boxes` for each cell, or -1 if it answers for none.
    """
    if not len(gt_boxes):
        return torch.full_like(strides, -1, dtype=torch.int64)
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2  # (G, 2)
    from_center = (points[:, None] - centers).abs().amax(2)  # (N, G)
    distances = torch.cat([points[:, None] - gt_boxes[:, :2], gt_boxes[:, 2:] - points[:, None]], dim=2)  # (N, G, 4)
    largest = distances.amax(2)  # (N, G)
    fits = (distances.amin(2) > 0) & (from_center < CENTER_RADIUS * strides[:, None])
    fits &= (largest > ranges[:, :1]) & (largest < ranges[:, 1:])
    areas = (gt_boxes[:, 2:] - gt_boxes[:, :2]).prod(1)  # (G,)
    smallest, match = areas.expand_as(fits).masked_fill(~fits, torch.inf).min(1)  # (N,) each
    return match.masked_fill(smallest.isinf(), -1)


def encode_distances(points: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """Encode boxes as distances from points to their four sides (equation 1), in strides (table 3, "normalization").

    Args:
        points: (..., 2) x and y in pixels.
        strides: (...) pixels per cell.
        boxes: (..., 4) xyxy in pixels. The leading dimensions of all three broadcast.

    Returns:
        (..., 4) left, top, right, bottom: numbers of strides, greater than 0 if the point is inside the box.
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1) / strides[..., None]


def decode_distances(points: Tensor, strides: Tensor, distances: Tensor) -> Tensor:
    """Decode distances into boxes: the inverse of `encode_distances`.

    Args:
        points: (..., 2) x and y in pixels.
        strides: (...) pixels per cell.
        distances: (..., 4) left, top, right, bottom in strides. The leading dimensions of all three broadcast.

    Returns:
        (..., 4) xyxy in pixels. Half precision is computed and returned in float32.
    """
    pixels = at_least_float32(distances) * strides[..., None]
    return torch.cat([points - pixels[..., :2], points + pixels[..., 2:]], dim=-1)


def centerness(distances: Tensor) -> Tensor:
    """Return how central a point is in its box (equation 3): 1 in the center, toward 0 at the sides.

    Args:
        distances: (..., 4) left, top, right, bottom, all greater than 0, in any unit.

    Returns:
        (...) the square root of min(left, right) / max(left, right) · min(top, bottom) / max(top, bottom).
    """
    left, top, right, bottom = distances.unbind(-1)
    horizontal = torch.minimum(left, right) / torch.maximum(left, right)
    vertical = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (horizontal * vertical).sqrt()
