"""Random boxes for checks."""

import torch
from torch import Tensor


def boxes(generator: torch.Generator, count: int, dtype: torch.dtype = torch.float32, width: float = 100) -> Tensor:
    """(count, 4) xyxy, each with some width and height, some of them reaching below 0."""
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * width - 5
    side = torch.rand(count, 2, generator=generator, dtype=dtype) * width / 2 + 2
    return torch.cat([corner, corner + side], dim=1)


def clusters(generator: torch.Generator, objects: int, each: int) -> tuple[Tensor, Tensor]:
    """(objects * each, 4) boxes that crowd around some objects, and scores."""
    around = boxes(generator, objects, width=200).repeat_interleave(each, 0)
    moved = around + 4 * torch.randn(around.shape, generator=generator)
    sound = torch.cat([moved[:, :2], torch.maximum(moved[:, 2:], moved[:, :2] + 1)], dim=1)
    return sound, torch.rand(len(sound), generator=generator)


def xyxy(*rows: tuple[float, float, float, float]) -> Tensor:
    """Boxes as one writes them."""
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
