"""Parts of torchvision's that take their arguments in another manner, as parts of ours."""

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
    """`torchvision.ops.FeaturePyramidNetwork`, on lists."""

    def __init__(self, in_channels: list[int], out_channels: int = 96, extra_levels: int = 0) -> None:
        super().__init__()
        extra = ops.feature_pyramid_network.LastLevelMaxPool() if extra_levels else None
        self.fpn = ops.FeaturePyramidNetwork(in_channels, out_channels, extra)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """As `FPN.forward`."""
        return list(self.fpn(OrderedDict((str(level), feature) for level, feature in enumerate(maps))).values())


class TorchvisionRPNHead(nn.Module):
    """torchvision's RPNHead, with its maps flattened."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.head = RPNHead(channels, anchors)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """As `RPNHead.forward`."""
        logits, deltas = self.head(levels)
        return (
            torch.cat([one.permute(0, 2, 3, 1).flatten(1) for one in logits], 1),
            torch.cat([one.permute(0, 2, 3, 1).reshape(len(one), -1, 4) for one in deltas], 1),
        )


class TorchvisionBoxHead(nn.Module):
    """torchvision's TwoMLPHead with its FastRCNNPredictor."""

    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__()
        self.head = TwoMLPHead(channels * output_size * output_size, hidden)
        self.predictor = FastRCNNPredictor(hidden, num_classes + 1)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """As `BoxHead.forward`."""
        logits, deltas = self.predictor(self.head(patches))
        return logits, deltas.view(*logits.shape, 4)


ADAPTED: dict[Any, Callable[..., Any]] = {
    ops.FeaturePyramidNetwork: TorchvisionFPN,
    RPNHead: TorchvisionRPNHead,
    TwoMLPHead: TorchvisionBoxHead,
    FastRCNNPredictor: TorchvisionBoxHead,
    ops.roi_align: torchvision_roi_align,
}


def adapt(part: Callable[..., Any]) -> Callable[..., Any]:
    """A part as ours are called; only some of torchvision's differ."""
    return ADAPTED.get(part, part)
