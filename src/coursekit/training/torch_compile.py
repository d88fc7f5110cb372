"""torch.compile for the part of a detector whose shapes don't depend on the data."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.device import is_out_of_memory
from coursekit.data.boxes import Size

MAX_SHAPES = 6  # of a batch; each is compiled separately, which takes up to a minute
SIDE_STEPS = 4  # with --compile, sides of a batch are padded to a multiple of the longest side over this


class CompiledDense:
    """The dense part of a detector, compiled for training at a few shapes.

    Everything else runs uncompiled: evaluation, whose batches have many shapes, and shapes beyond the first MAX_SHAPES.
    If the compiler fails, the run continues uncompiled.

    Args:
        model: the detector.
        use_cuda_graph: record the launches of each shape once, and replay them. Only without accumulation: a replay
            overwrites the gradients of the one before.

    Attributes:
        eager: the dense part, uncompiled.
        messages: what went wrong.
    """

    def __init__(self, model: nn.Module, *, use_cuda_graph: bool) -> None:
        detector: Any = model
        self.model, self.eager, self.use_cuda_graph = model, detector.dense, use_cuda_graph
        # With dynamic shapes, the symbols of "same" padding keep the compiler busy for longer than training takes.
        mode = "reduce-overhead" if use_cuda_graph else "default"
        self.compiled: Any = torch.compile(self.eager, dynamic=False, mode=mode)
        self.shapes: set[tuple[int, ...]] = set()
        self.messages: list[str] = []

    def __call__(self, batch: Tensor) -> Any:
        """Compute levels and predictions of a batch."""
        if not self.model.training or not self._is_one_of_few(batch):
            return self.eager(batch)
        try:
            outputs = self.compiled(batch)
        except RuntimeError as error:  # dynamo's and inductor's errors are RuntimeErrors
            if is_out_of_memory(error) or not _is_from_compiler(error):
                raise
            self.messages.append(f"torch.compile can't be used here ({_reason(error)}); the run continues without it.")
            stop_compiled(self.model)
            return self.eager(batch)
        return _copy(outputs) if self.use_cuda_graph else outputs

    def _is_one_of_few(self, batch: Tensor) -> bool:
        if len(self.shapes) < MAX_SHAPES:
            self.shapes.add(tuple(batch.shape))
        return tuple(batch.shape) in self.shapes


def compile_dense(model: nn.Module, *, use_cuda_graph: bool = False) -> list[str]:
    """Compile `model.dense` at its first call in training; see `CompiledDense`.

    Returns:
        A list to which a message is appended if compiling fails.
    """
    if not hasattr(model, "dense"):
        return [f"torch.compile: {type(model).__name__} has no dense part, so it runs uncompiled."]
    compiled = CompiledDense(model, use_cuda_graph=use_cuda_graph)
    model.dense = compiled  # type: ignore[assignment]
    return compiled.messages


def stop_compiled(model: nn.Module) -> None:
    """Run the dense part uncompiled from now on."""
    dense: Any = getattr(model, "dense", None)
    if isinstance(dense, CompiledDense):
        model.dense = dense.eager


def one_of_few_sizes(size: Size, longest: int) -> Size:
    """Round a height and width in pixels up, so that a data set has few sizes of batches and few shapes to compile.

    Args:
        size: of the largest resized image in each direction.
        longest: the longest side that images are resized to.

    >>> one_of_few_sizes((213, 320), longest=320)
    (240, 320)
    """
    height, width = (math.ceil(side * SIDE_STEPS / longest) * longest // SIDE_STEPS for side in size)
    return height, width


def _copy(outputs: Any) -> Any:
    """Copy what a CUDA graph returned, tensors in lists and tuples: its next replay overwrites it."""
    return outputs.clone() if isinstance(outputs, Tensor) else type(outputs)(map(_copy, outputs))


def _is_from_compiler(error: Exception) -> bool:
    modules = [kind.__module__ for kind in type(error).__mro__]
    return any(module.startswith(("torch._dynamo", "torch._inductor")) for module in modules)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
