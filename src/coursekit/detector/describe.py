"""A detector as a table."""

from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn


def describe(detector: Any, size: tuple[int, int]) -> None:
    """Print parts, strides, parameters and shapes for one image of this height and width in the detector."""
    table = Table("part", "parameters", "trained", "gives", "stride", title=f"one image, {size[1]} × {size[0]} pixels")
    for name, module, gives in _parts(detector, size):
        strides = [str(-(-size[0] // 32) * 32 // one.shape[2]) if one.ndim == 4 else "" for one in gives]
        shapes = [" × ".join(map(str, one.shape[1:])) for one in gives]
        table.add_row(name, *_parameters(module), "\n".join(shapes), "\n".join(strides))
    table.add_row("all", *_parameters(detector))
    Console().print(table)


@torch.no_grad()
def _parts(detector: Any, size: tuple[int, int]) -> list[tuple[str, nn.Module, list[Tensor]]]:
    height, width = (-(-side // 32) * 32 for side in size)  # as a batch is padded
    image = next(detector.parameters()).new_zeros(1, 3, height, width)
    maps = detector.backbone(image)
    levels = detector.fpn(maps)
    opinion = detector.box_branch(levels, [image.new_tensor([[0.0, 0.0, size[1], size[0]]])])
    return [
        ("backbone", detector.backbone, maps),
        ("fpn", detector.fpn, levels),
        ("rpn_head", detector.rpn_head, list(detector.rpn_head(levels))),
        ("box_head, for one box", detector.box_head, list(opinion)),
    ]


def _parameters(module: nn.Module) -> tuple[str, str]:
    counts = [(one.numel(), one.requires_grad) for one in module.parameters()]
    return f"{sum(count for count, _ in counts):,}", f"{sum(count for count, trained in counts if trained):,}"
