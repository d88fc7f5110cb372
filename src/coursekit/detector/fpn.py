"""The feature pyramid: each level keeps its resolution and gains the semantics of the deepest level."""

import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector.boxes import Part


def merge_top_down(fine: Tensor, coarse: Tensor) -> Tensor:
    """Upsample a coarse level to the size of the next finer one, and add them.

    Args:
        fine: (B, C, H, W) float.
        coarse: (B, C, h, w) float, about half as large: h is H / 2, rounded up or down. That's why it is resized to
            (H, W) and not by a factor of 2.

    Returns:
        (B, C, H, W) of the same dtype.
    """
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class FPN(nn.Module):
    """Feature pyramid network (Lin et al., *Feature Pyramid Networks for Object Detection*, 2017, section 3).

    Args:
        in_channels: channels of each of the backbone's maps, finest first.
        out_channels: channels of every level of the pyramid.
        extra_levels: coarser levels to add, each with every second row and column of the one before (section 4.1, P6).
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
        """Turn (B, C_i, H_i, W_i) maps, finest first, into (B, out_channels, H_i, W_i) levels and the extra levels."""
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, maps, strict=True)]
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = self.merge(levels[fine], levels[fine + 1])
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        for _ in range(self.extra_levels):
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return levels
