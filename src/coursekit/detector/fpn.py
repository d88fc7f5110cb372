"""The feature pyramid: every level as fine as its map and as wise as the deepest one."""

import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector.boxes import Part


def merge_top_down(fine: Tensor, coarse: Tensor) -> Tensor:
    """Add a coarse level to the next finer one.

    Args:
        fine: (B, C, H, W).
        coarse: (B, C, h, w), about half as large. A scale factor of 2 would miss where H is odd.
    """
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class FPN(nn.Module):
    """Feature pyramid network (Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 3).

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every level of the pyramid.
        extra_levels: coarser ones on top, each with every other cell of the one below (section 4.1, P6).
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int = 96,
        extra_levels: int = 0,
        *,
        merge_top_down: Part = merge_top_down,
    ) -> None:
        super().__init__()
        self.extra_levels, self.merge = extra_levels, merge_top_down
        self.lateral = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.smooth = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, C_i, H_i, W_i) maps, finest first → as many (B, out_channels, H_i, W_i), and the extra ones."""
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, maps, strict=True)]
        for fine in reversed(range(len(merged) - 1)):
            merged[fine] = self.merge(merged[fine], merged[fine + 1])
        levels = [smooth(level) for smooth, level in zip(self.smooth, merged, strict=True)]
        for _ in range(self.extra_levels):
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return levels
