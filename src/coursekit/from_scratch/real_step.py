"""The training step that a small card needs: mixed precision, accumulation, and a retry when memory runs out.

Each function is the reference solution of an exercise of lesson 08, and calls the ones before it. `coursekit.training`
does the same without waiting for the GPU and for several processes: see `training.backward` and
`training.micro_batches`. `halve_on_oom` catches `torch.OutOfMemoryError` only, as its exercise asks; `core.device`
knows more kinds of errors.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from coursekit.from_scratch.training import MAX_NORM, Images

Losses = dict[str, float]


def forward_backward(
    model: nn.Module,
    images: Images,
    targets: Sequence[Any],
    scaler: torch.amp.GradScaler,
    dtype: torch.dtype,
    weight: float = 1.0,
) -> Losses:
    """Run forward in `dtype` where that is safe, run backward, and add to the gradients.

    Args:
        model: (images, targets) → dict of losses, scalars. Its weights are float32 and stay as they are.
        images, targets: a batch, on the device of images[0].
        scaler: scales the loss for backward; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16; torch.float32 for no autocast.
        weight: factor of the gradient, such as a micro-batch's share of its batch.

    Returns:
        The losses by name, as floats, neither weighted nor scaled.
    """
    with torch.autocast(images[0].device.type, dtype, enabled=dtype != torch.float32):
        losses = model(images, targets)
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    scaler.scale(total * weight).backward()
    return {name: loss.item() for name, loss in losses.items()}


def accumulate(
    backward: Callable[[Images, Sequence[Any], float], Losses],
    images: Images,
    targets: Sequence[Any],
    micro_batch: int,
) -> Losses:
    """Accumulate the gradients of a batch in micro-batches.

    Args:
        backward: (images, targets, weight) → losses by name, floats, each a mean over these images. It adds `weight`
            times their gradient to the gradients.
        images, targets: the batch; both can be sliced.
        micro_batch: images per call; the last micro-batch may be smaller.

    Returns:
        The losses of the whole batch, by name. Its gradient is added to the existing gradients.
    """
    totals: Losses = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        weight = len(images[part]) / len(images)
        for name, loss in backward(images[part], targets[part], weight).items():
            totals[name] = totals.get(name, 0.0) + loss * weight
    return totals


def halve_on_oom(attempt: Callable[[int], Losses], clear: Callable[[], Any], micro_batch: int) -> tuple[Losses, int]:
    """Attempt a batch, and halve the micro-batch each time memory runs out.

    Args:
        attempt: takes a micro-batch, adds the gradients of the whole batch, and returns its losses.
        clear: clears all gradients.
        micro_batch: images at a time in the first attempt.

    Returns:
        The losses of the batch, by name, and the micro-batch that fit into memory, for the next step. If memory runs
        out, the next attempt has half the micro-batch, rounded up. The gradients are those of this batch and nothing
        else.

    Raises:
        torch.OutOfMemoryError: not even one image fits into memory. Other errors pass through.
    """
    while True:
        clear()
        try:
            return attempt(micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)  # out here the failed attempt's tensors are free


def real_step(
    model: nn.Module,
    images: Images,
    targets: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    dtype: torch.dtype,
    micro_batch: int,
    max_norm: float = MAX_NORM,
) -> tuple[Losses, int]:
    """Take a training step that fits into memory. In float32, its gradients are those of `train_step`.

    Args:
        model: (images, targets) → dict of losses, scalars, each a mean over the images. In training mode.
        images, targets: the batch, on the device of images[0]; both can be sliced.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        scaler: scales the loss for backward; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16; torch.float32 for no autocast.
        micro_batch: images at a time in the first attempt. It is halved each time memory runs out.
        max_norm: gradients are unscaled, then clipped to this norm.

    Returns:
        The losses of the batch, by name, as floats, and the micro-batch for the next step. If a gradient is infinite,
        as happens in float16, the weights stay as they are and the scale is lowered.

    Raises:
        FloatingPointError: the sum of the losses is NaN or infinite. The weights are those from before the step.
        torch.OutOfMemoryError: not even one image fits into memory.
    """

    def backward(images: Images, targets: Sequence[Any], weight: float) -> Losses:
        return forward_backward(model, images, targets, scaler, dtype, weight)

    def attempt(micro_batch: int) -> Losses:
        return accumulate(backward, images, targets, micro_batch)

    losses, micro_batch = halve_on_oom(attempt, optimizer.zero_grad, micro_batch)
    if not math.isfinite(sum(losses.values())):
        raise FloatingPointError(f"the losses are {losses}")
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return losses, micro_batch
