"""A box slides over a map whose cells hold their own position: does its patch slide with it?"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

ReadPatches = Callable[[Tensor, Tensor, float], Tensor]
CELLS, SIDE = (12, 20), 40  # of the map, and pixels of the box


def slide_box(ways: Mapping[str, ReadPatches], stride: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Move a box to the right, pixel by pixel, over three cells. Print how far off the patches are.

    Args:
        ways: name → function of (features, boxes, spatial_scale) that returns patches.
        stride: pixels per cell of the map.

    Returns:
        The x of the box's center at each place, in pixels, (N,); and for each way what its patches read, (N,).
    """
    left = 4 * stride + torch.arange(3 * stride).float()
    zero = torch.zeros_like(left)
    boxes = torch.stack([left, zero + 32, left + SIDE, zero + 32 + 64], 1)
    positions = (stride * torch.arange(CELLS[1])).float().expand(1, *CELLS)  # (1, H, W): x in pixels
    asked = left + SIDE / 2
    read = {name: way(positions, boxes, 1 / stride).mean((1, 2, 3)) for name, way in ways.items()}
    for name, centers in read.items():
        off = float(f"{(centers - asked).abs().max().item():.2g}")
        print(f"{name:30} at most {off:g} pixels off")
    return asked, read
