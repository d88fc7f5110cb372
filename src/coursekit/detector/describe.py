"""Print a detector as a table."""

from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from coursekit.data.boxes import Size
from coursekit.data.padded_images import padded_side
from coursekit.detector.padded_boxes import pad_boxes


def describe(detector: Any, size: Size) -> None:
    """Print the parts, their strides, parameters and shapes, for one image of this (height, width) in pixels."""
    table = Table("part", "parameters", "trained", "gives", "stride", title=f"one image, {size[1]} × {size[0]} pixels")
    for name, module, outputs in _parts(detector, size):
        strides = [str(padded_side(size[0]) // output.shape[2]) if output.ndim == 4 else "" for output in outputs]
        shapes = [" × ".join(map(str, output.shape[1:])) for output in outputs]
        table.add_row(name, *_parameters(module), "\n".join(shapes), "\n".join(strides))
    table.add_row("all", *_parameters(detector))
    Console().print(table)


@torch.no_grad()
def _parts(detector: Any, size: Size) -> list[tuple[str, nn.Module, list[Tensor]]]:
    """Run the detector on an empty image. Return the name, module and outputs of each part."""
    height, width = (padded_side(side) for side in size)
    image = next(detector.parameters()).new_zeros(1, 3, height, width)
    maps = detector.backbone(image)
    levels = detector.fpn(maps)
    parts = [("backbone", detector.backbone, maps), ("fpn", detector.fpn, levels)]
    if hasattr(detector, "head"):  # one stage
        return [*parts, ("head", detector.head, list(detector.head(levels)))]
    predictions = detector.box_branch(levels, pad_boxes([image.new_tensor([[0.0, 0.0, size[1], size[0]]])]))
    return [
        *parts,
        ("rpn_head", detector.rpn_head, list(detector.rpn_head(levels))),
        ("box_head, for one box", detector.box_head, list(predictions)),
    ]


def _parameters(module: nn.Module) -> tuple[str, str]:
    """Return how many parameters there are, and how many of them are trained."""
    parameters = list(module.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return f"{sum(p.numel() for p in parameters):,}", f"{sum(p.numel() for p in trained):,}"
