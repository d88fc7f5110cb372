"""torch.compile for the part of a detector whose shapes do not depend on the data."""

from typing import Any

import torch
from torch import Tensor, nn


def compile_dense(model: nn.Module) -> list[str]:
    """Compile `model.dense` at its first call; where that can't be done here, say so and go on without.

    Returns:
        A list that gets a message, if there is one.
    """
    messages: list[str] = []
    eager: Any = getattr(model, "dense", None)
    if eager is None:
        return [f"torch.compile: {type(model).__name__} has no dense part; it runs as it is."]
    # With shapes that vary, the symbols of "same" padding keep the compiler busy for longer than any training takes:
    # so one compilation for each shape of a batch, and the loader makes few of them.
    compiled = torch.compile(eager, dynamic=False)

    def dense(batch: Tensor) -> Any:
        try:
            return compiled(batch)
        except RuntimeError as error:  # dynamo's and inductor's errors are RuntimeErrors
            if isinstance(error, torch.OutOfMemoryError) or not _is_compilers(error):
                raise
            messages.append(f"torch.compile can't be used here ({_reason(error)}); the run goes on without it.")
            model.dense = eager
            return eager(batch)

    model.dense = dense  # type: ignore[assignment]
    return messages


def _is_compilers(error: Exception) -> bool:
    kinds = {kind.__module__.split(".")[1] for kind in type(error).__mro__ if kind.__module__.startswith("torch._")}
    return bool(kinds & {"_dynamo", "_inductor"})


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
