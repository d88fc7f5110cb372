"""The two halves of a training step: forward and backward, then the update.

The trainer, the memory planner and the lessons' cached features all call these, so the planner measures what the
trainer does. The functions in `from_scratch.training` don't: they are answers to exercises, which spell the step out.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.device import autocast

Phase = Callable[[str], AbstractContextManager[None]]
NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)


def no_phase(name: str) -> AbstractContextManager[None]:
    """Measure nothing: a context manager that does nothing."""
    return nullcontext()


def forward_backward(
    compute_losses: Callable[[], Mapping[str, Tensor]],
    device: torch.device,
    precision: str,
    *,
    weight: float = 1.0,
    scaler: torch.amp.GradScaler = NO_SCALER,
    phase: Phase = no_phase,
) -> Mapping[str, Tensor]:
    """Compute the losses and add the gradient of their sum to the parameters' gradients.

    Args:
        compute_losses: runs the model and returns its losses by name, scalars. It runs under autocast.
        device: device of the model.
        precision: see `autocast`.
        weight: factor of the gradient, such as the share that a micro-batch has in its batch.
        scaler: scales the loss, for fp16.
        phase: context manager around each of "forward" and "backward", for example `Clock.phase`.

    Returns:
        The losses, neither weighted nor scaled.
    """
    with phase("forward"), autocast(device, precision):
        losses = compute_losses()
    with phase("backward"):
        scaler.scale(torch.stack(list(losses.values())).sum() * weight).backward()
    return losses


def update(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    clip_norm: float,
    scaler: torch.amp.GradScaler = NO_SCALER,
    skip_if: Tensor | None = None,
) -> None:
    """Clip the gradients of `parameters` to `clip_norm` and take an optimizer step.

    If `scaler` finds an infinite gradient, the weights stay as they are and its scale is lowered.

    Args:
        optimizer: with `skip_if` a fused one.
        parameters: the trained parameters.
        clip_norm: the largest norm of the gradient.
        scaler: the one that scaled the loss.
        skip_if: if this scalar on the device is 1.0, not 0.0, the weights and the optimizer's state stay, too. Python
            doesn't wait for it.
    """
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    if skip_if is None:
        scaler.step(optimizer)
    else:
        if scaler.is_enabled():
            skip_if = torch.maximum(skip_if, (~torch.isfinite(norm)).float())
        fused: Any = optimizer  # the GPU reads this attribute of fused optimizers, which GradScaler sets, too
        fused.found_inf = skip_if
        optimizer.step()
        del fused.found_inf
    scaler.update()
