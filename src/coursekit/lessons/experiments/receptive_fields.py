"""What does a cell of a feature map see? Ask the gradient. Lesson 02."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

MOST = 0.9  # of the gradient


def gradient_of_cell(body: Any, image: Tensor, stages: int) -> Tensor:
    """Return (H, W): how much each pixel moves the cell in the middle of a map.

    Args:
        body: one of timm's EfficientNets, in eval mode.
        image: (3, H, W) normalized.
        stages: how many stages the map is behind; the stem is not one of them.
    """
    image = image[None].clone().requires_grad_()
    x = body.bn1(body.conv_stem(image))
    for stage in body.blocks[:stages]:
        x = stage(x)
    x[0, :, x.shape[2] // 2, x.shape[3] // 2].sum().backward()
    assert image.grad is not None
    return image.grad[0].abs().sum(0)


def width_of(line: Tensor) -> int:
    """Return the distance from the first to the last number of a line, (W,), that isn't 0, both included."""
    places = line.nonzero()[:, 0]
    return int(places.max() - places.min() + 1)


def middle_width(line: Tensor, share: float = MOST) -> int:
    """Return the width of the part of a line, (W,), with this share of its sum, and half of the rest on each side."""
    parts = line.double() / line.double().sum()
    so_far, rest = parts.cumsum(0), (1 - share) / 2
    return int(((so_far > rest) & (so_far - parts < 1 - rest)).sum())


def compare_with_gradient(body: Any, fields: Mapping[int, tuple[int, int]], stages: tuple[int, ...], side: int) -> None:
    """Print computed receptive fields beside the widths that the gradient shows on noise.

    Args:
        body: one of timm's EfficientNets, in eval mode.
        fields: number of stages → the computed (size, stride) in pixels.
        stages: numbers of stages to compare.
        side: width of the image of noise, in pixels.
    """
    torch.manual_seed(0)
    print("stride   computed   any gradient   90 % of it")
    for count in tqdm(stages, "stages", leave=False):
        size, stride = fields[count]
        line = gradient_of_cell(body, torch.randn(3, 96, side), count).sum(0)
        rim = "" if size < side else f"   (the image is {side} wide)"
        print(f"{stride:6}   {size:8}   {width_of(line):12}   {middle_width(line):10}{rim}")
