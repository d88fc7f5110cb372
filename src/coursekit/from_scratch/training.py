"""The trainer of lesson 08, in functions of a dozen lines, for any model that returns a dict of losses.

`coursekit.training` does the same for several processes and with hooks: `loop` (an epoch), `clock` (where the time
goes), `backward` and `step` (mixed precision, accumulation, running out of memory) and `checkpoint` (resuming).

These functions share no code with it on purpose: each is the reference solution of an exercise, whose point is to
write the step out. `halve_on_oom` catches `torch.OutOfMemoryError` only, as its exercise asks; `core.device` knows
more kinds of errors.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CLIP_NORM = 10.0
Images = Tensor | Sequence[Tensor]
Batch = tuple[Images, Sequence[Any]]


def train_one_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> list[float]:
    """Train a model on each batch once.

    Args:
        model: (images, targets) → dict of losses, scalars. It is switched to training mode.
        batches: yields (images, targets).
        optimizer: the optimizer of the model. Existing gradients are discarded.
        schedule: the schedule of its learning rate; it steps after each batch.

    Returns:
        The sum of the losses of each batch, as floats. Gradients are clipped to a norm of 10.

    Raises:
        FloatingPointError: a sum is NaN or infinite. The weights are those from before that step.
    """
    model.train()
    history: list[float] = []
    for images, targets in batches:
        loss = torch.stack(list(model(images, targets).values())).sum()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"step {len(history)}: the loss is {loss.item()}")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def time_step(
    model: nn.Module, batches: Iterator[Batch], optimizer: torch.optim.Optimizer, clock: Callable[[], float]
) -> dict[str, float]:
    """Take one training step and measure where its time goes.

    Args:
        model: (images, targets) → dict of losses, scalars.
        batches: an iterator, from which one batch is taken.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        clock: returns the time in seconds, after waiting until the device has finished all queued work.

    Returns:
        Seconds by phase: "data" (waiting for the batch), "forward" (up to the losses), "backward" and "optimizer" (the
        rest). They add up to the time of the step.
    """
    start = clock()
    images, targets = next(batches)
    after_data = clock()
    losses = model(images, targets)
    after_forward = clock()
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    after_backward = clock()
    optimizer.step()
    end = clock()
    return {
        "data": after_data - start,
        "forward": after_forward - after_data,
        "backward": after_backward - after_forward,
        "optimizer": end - after_backward,
    }


def autocast_step(
    model: nn.Module,
    images: Images,
    targets: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    dtype: torch.dtype,
) -> float:
    """Take a step in mixed precision: weights stay in float32, and forward computes in `dtype` where that is safe.

    Args:
        model: (images, targets) → dict of losses, scalars.
        images, targets: a batch, on the device of images[0].
        optimizer: the optimizer of the model. Existing gradients are discarded.
        scaler: scales the loss; a disabled scaler multiplies by 1.
        dtype: torch.bfloat16 or torch.float16.

    Returns:
        The sum of the losses, unscaled. Gradients are unscaled, then clipped to a norm of 10. If one is infinite, the
        weights stay as they are and the scale is halved.
    """
    with torch.autocast(images[0].device.type, dtype):
        losses = model(images, targets)
    loss = torch.stack([loss.float() for loss in losses.values()]).sum()
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def accumulate(model: nn.Module, images: Images, targets: Sequence[Any], micro_batch: int) -> dict[str, float]:
    """Accumulate the gradients of a batch in micro-batches.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch.
        micro_batch: images per forward pass; the last micro-batch may be smaller.

    Returns:
        The losses of the whole batch, by name. Its gradient is added to the existing gradients; the weights don't
        change. The memory of a micro-batch is free before the next one begins.
    """
    totals: dict[str, float] = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses = model(images[part], targets[part])
        weight = len(images[part]) / len(images)
        (torch.stack(list(losses.values())).sum() * weight).backward()
        for name, loss in losses.items():
            totals[name] = totals.get(name, 0.0) + loss.item() * weight
    return totals


def halve_on_oom(
    model: nn.Module, images: Images, targets: Sequence[Any], micro_batch: int
) -> tuple[dict[str, float], int]:
    """Accumulate the gradients of a batch, and halve the micro-batch if memory runs out.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch.
        micro_batch: images per forward pass at the first try.

    Returns:
        The losses of the whole batch, by name, and the micro-batch that fit into memory, for the next step. If memory
        runs out, the batch is retried in micro-batches half the size, rounded up. The weights hold the gradient of this
        batch and nothing else.

    Raises:
        torch.OutOfMemoryError: not even one image fits into memory.
    """
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)  # out here the failed step's tensors are free


def save_and_resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, train_step: Callable[[int], Any], steps: int
) -> int:
    """Train for a number of steps with a checkpoint after each, resuming from the checkpoint if there is one.

    Args:
        path: path of the checkpoint. Once there is one, it is complete at any moment: a new one is written to another
            file in the same folder, then renamed.
        model, optimizer: in their initial state, or in any state if there is a checkpoint.
        train_step: takes the number of the step, from 0. It may draw random numbers from torch.
        steps: total number of steps.

    Returns:
        The number of the first step that this call took; `steps` if none was left. A resumed run ends with exactly the
        same weights as one that was never stopped. Reading a checkpoint executes nothing that is in it.
    """
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": step + 1,
        }
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)
    return first
