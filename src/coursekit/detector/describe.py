"""A detector as a table."""

from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

if TYPE_CHECKING:
    from coursekit.detector.model import FasterRCNN


def describe(detector: "FasterRCNN", size: tuple[int, int]) -> None:
    """Print parts, strides, parameters and shapes for one image of this height and width in the detector."""
    rows = _rows(detector, size)
    table = Table("part", "strides", "parameters", "trained", "gives", title=f"one image, {size[1]} × {size[0]} pixels")
    for name, strides, module, gives in rows:
        count, trained = _parameters(module), _parameters(module, trained=True)
        table.add_row(name, strides, f"{count:,}", f"{trained:,}", gives)
    table.add_row("all", "", f"{_parameters(detector):,}", f"{_parameters(detector, trained=True):,}", "")
    Console().print(table)


def _rows(detector: "FasterRCNN", size: tuple[int, int]) -> list[tuple[str, str, nn.Module, str]]:
    weight = next(detector.parameters())
    height, width = (-(-side // 32) * 32 for side in size)
    image = torch.zeros(1, 3, height, width, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        maps = detector.backbone(image)
        levels = detector.fpn(maps)
        logits, deltas = detector.rpn_head(levels)
        boxes = [torch.tensor([[0.0, 0.0, width, height]], device=weight.device, dtype=weight.dtype)]
        classes, offsets = detector.look_at(levels, boxes)
    strides = [height // level.shape[2] for level in levels]
    return [
        ("backbone", _strides(detector.backbone.strides), detector.backbone, _shapes(maps)),
        ("fpn", _strides(strides), detector.fpn, _shapes(levels)),
        ("rpn_head", "", detector.rpn_head, _shapes([logits, deltas])),
        ("box_head, a box", "", detector.box_head, _shapes([classes, offsets])),
    ]


def _parameters(module: nn.Module, *, trained: bool = False) -> int:
    return sum(one.numel() for one in module.parameters() if one.requires_grad or not trained)


def _strides(strides: list[int]) -> str:
    return ", ".join(map(str, strides))


def _shapes(tensors: list[Tensor]) -> str:
    return "\n".join(" × ".join(map(str, one.shape[1:] if one.shape[0] == 1 else one.shape)) for one in tensors)
