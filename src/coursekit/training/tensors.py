"""Do tensors from a file fit a model? Asked before any of them is copied into it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def check_shapes(shapes: Mapping[str, Sequence[int]], expected: Mapping[str, Tensor]) -> None:
    """Check that a file has a tensor of each name, of the same shape, and no others.

    Raises:
        ValueError: names the first that differs.
    """
    for name in [*expected, *shapes]:
        if name not in shapes:
            raise ValueError(f"{name} is missing")
        if name not in expected:
            raise ValueError(f"it has a weight {name[:80]!r}, which this detector hasn't")
        if list(shapes[name]) != list(expected[name].shape):
            raise ValueError(f"{name} has the shape {list(shapes[name])[:8]}, not {list(expected[name].shape)}")


def check_values(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], learned: Collection[str] = ()) -> None:
    """Check that tensors have the types of others, and that those that were learned are finite.

    Raises:
        ValueError: names the first that can't be used.
    """
    for name, value in tensors.items():
        if value.dtype != expected[name].dtype:
            raise ValueError(f"{name} has the type {value.dtype}, not {expected[name].dtype}")
        if name in learned and not value.isfinite().all():
            raise ValueError(f"{name} is not finite")


def is_plain(value: Any) -> bool:
    """Return whether a value is an ordinary dense tensor in memory: a checkpoint can hold other kinds."""
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu" and not (
        value.is_nested or value.is_quantized
    )  # fmt: skip
