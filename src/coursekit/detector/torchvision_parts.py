"""Adapters for those of torchvision's parts whose arguments differ from ours."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import ops
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from coursekit.detector.roi import torchvision_roi_align


class TorchvisionFPN(nn.Module):
    """torchvision's FeaturePyramidNetwork, with lists in place of dicts. Arguments as in `FPN`."""

    def __init__(self, in_channels: list[int], out_channels: int = 96, extra_levels: int = 0) -> None:
        super().__init__()
        extra = ops.feature_pyramid_network.LastLevelMaxPool() if extra_levels else None
        self.fpn = ops.FeaturePyramidNetwork(in_channels, out_channels, extra)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Turn maps into levels, as `FPN.forward` does."""
        named = OrderedDict((str(level), feature) for level, feature in enumerate(maps))
        return list(self.fpn(named).values())


class TorchvisionRPNHead(nn.Module):
    """torchvision's RPNHead, with flattened outputs. Arguments as in our `RPNHead`."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.head = RPNHead(channels, anchors)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Turn levels into logits (B, N) and deltas (B, N, 4), as our `RPNHead.forward` does."""
        logits, deltas = self.head(levels)
        return (
            torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in logits], 1),
            torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in deltas], 1),
        )


class TorchvisionBoxHead(nn.Module):
    """torchvision's TwoMLPHead and FastRCNNPredictor. Arguments as in `BoxHead`: num_classes without the background."""

    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__()
        self.head = TwoMLPHead(channels * output_size * output_size, hidden)
        self.predictor = FastRCNNPredictor(hidden, num_classes + 1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Turn patches into class_logits (R, K + 1) and box_deltas (R, K + 1, 4), as `BoxHead.forward` does."""
        class_logits, box_deltas = self.predictor(self.head(patches))
        return class_logits, box_deltas.view(*class_logits.shape, 4)


ADAPTED: dict[Any, Callable[..., Any]] = {
    ops.FeaturePyramidNetwork: TorchvisionFPN,
    RPNHead: TorchvisionRPNHead,
    TwoMLPHead: TorchvisionBoxHead,
    FastRCNNPredictor: TorchvisionBoxHead,
    ops.roi_align: torchvision_roi_align,
}


def adapt(part: Callable[..., Any]) -> Callable[..., Any]:
    """Return the adapter of a part that is torchvision's, and any other part as it is."""
    return ADAPTED.get(part, part)
