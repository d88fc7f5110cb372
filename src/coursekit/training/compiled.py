"""torch.compile for the part of a detector whose shapes don't depend on the data."""

from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.device import is_out_of_memory


def compile_dense(model: nn.Module) -> list[str]:
    """Compile `model.dense` at its first call. If the compiler fails, the model runs uncompiled.

    Returns:
        A list to which a message is appended if compiling fails.
    """
    messages: list[str] = []
    eager: Any = getattr(model, "dense", None)
    if eager is None:
        return [f"torch.compile: {type(model).__name__} has no dense part, so it runs uncompiled."]
    # With dynamic shapes, the symbols of "same" padding keep the compiler busy for longer than training takes. So each
    # batch shape is compiled separately, and the loader makes few of them.
    compiled = torch.compile(eager, dynamic=False)

    def dense(batch: Tensor) -> Any:
        try:
            return compiled(batch)
        except RuntimeError as error:  # dynamo's and inductor's errors are RuntimeErrors
            if is_out_of_memory(error) or not _is_from_compiler(error):
                raise
            messages.append(f"torch.compile can't be used here ({_reason(error)}); the run continues without it.")
            model.dense = eager
            return eager(batch)

    model.dense = dense  # type: ignore[assignment]
    return messages


def _is_from_compiler(error: Exception) -> bool:
    modules = [kind.__module__ for kind in type(error).__mro__]
    return any(module.startswith(("torch._dynamo", "torch._inductor")) for module in modules)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
