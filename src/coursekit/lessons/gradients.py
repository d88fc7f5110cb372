"""Does training flow through an answer? A loss must reach each input through its result."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from coursekit.lessons.exercise import Case, case
from coursekit.lessons.meta_device import tensors_in

NONE = "no gradient reaches it (is there a detach, .data, .item(), torch.tensor(…) or no_grad on the way?)"


def trained(words: str, *args: Any) -> Case:
    """Return a case in which a gradient is asked for: the floating-point tensors among the arguments require one."""
    return case(words, *(_requiring_grad(arg) for arg in args))


def _requiring_grad(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.clone().requires_grad_()
    return [_requiring_grad(item) for item in value] if isinstance(value, list) else value


def is_trained(args: Iterable[Any]) -> bool:
    """Return whether these are the arguments of such a case."""
    return any(
        arg.requires_grad if isinstance(arg, Tensor) else isinstance(arg, list) and is_trained(arg) for arg in args
    )


def gradients(result: Any, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the gradient of each input, or a sentence where there is none.

    The loss is a sum of the result's numbers, each with another factor, so that their order matters.

    Args:
        result: a tensor, or a list, tuple or dict of tensors.
        inputs: tensors that require a gradient, by the name for messages.
    """
    loss = sum((value * _factors(value)).sum() for value in tensors_in(result) if value.requires_grad)
    wanted = {name: value for name, value in inputs.items() if value.requires_grad}  # an answer may freeze its weights
    reached = {}
    if isinstance(loss, Tensor) and wanted:
        found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, retain_graph=True)
        reached = dict(zip(wanted, found, strict=True))
    return {f"gradient of {name}": NONE if reached.get(name) is None else reached[name] for name in inputs}


def _factors(value: Tensor) -> Tensor:
    return torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
