"""The feature pyramid: every level as fine as its map and as wise as the deepest one."""

import torch.nn.functional as F
from torch import Tensor, nn


class FPN(nn.Module):
    """Feature pyramid network (Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 3).

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every level of the pyramid.
    """

    def __init__(self, in_channels: list[int], out_channels: int = 96) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.lateral = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.smooth = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, C_i, H_i, W_i) maps, finest first → as many (B, out_channels, H_i, W_i)."""
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, maps, strict=True)]
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = merge_top_down(levels[fine], levels[fine + 1])
        return [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]


def merge_top_down(fine: Tensor, coarse: Tensor) -> Tensor:
    """Add a coarse level to the next finer one.

    Args:
        fine: (B, C, H, W).
        coarse: (B, C, h, w), about half as large. A scale factor of 2 would miss where H is odd.
    """
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
