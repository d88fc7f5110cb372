"""The trainer that lesson 08 builds, in pieces of a dozen lines, for any model that gives a dict of losses.

`coursekit.training` does the same in `loop` (an epoch), `clock` (where the time goes), `step` (half precision,
accumulation, memory that runs out) and `checkpoint` (going on after a stop), for several processes, with hooks.
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
    """Show a model each batch once, and correct its weights after each.

    Args:
        model: (images, targets) → dict of losses, scalars; in training mode, which is switched on here.
        batches: gives (images, targets).
        optimizer: of the model. Gradients that are there already don't count.
        schedule: of its learning rate; told after each step.

    Returns:
        For each batch the sum of its losses, a float. Gradients are clipped to a norm of 10.

    Raises:
        FloatingPointError: a sum is NaN or infinite; the weights are still those from before that step.
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
    """Do one training step, and say where its time went.

    Args:
        model: (images, targets) → dict of losses, scalars.
        batches: an iterator; one batch is taken from it.
        optimizer: of the model.
        clock: gives seconds. It first waits until the device has done all that was begun.

    Returns:
        Seconds of each part of the step: "data", waiting for the batch; "forward", up to the losses; "backward";
        "optimizer", the rest. They add up to the whole.
    """
    start = clock()
    images, targets = next(batches)
    ready = clock()
    losses = model(images, targets)
    said = clock()
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    known = clock()
    optimizer.step()
    end = clock()
    return {"data": ready - start, "forward": said - ready, "backward": known - said, "optimizer": end - known}


def autocast_step(
    model: nn.Module,
    images: Images,
    targets: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    dtype: torch.dtype,
) -> float:
    """A step in mixed precision: weights stay float32, forward computes in `dtype` where that does no harm.

    Args:
        model: (images, targets) → dict of losses, scalars.
        images, targets: a batch; images[0] says on which device.
        optimizer: of the model. Gradients that are there already don't count.
        scaler: multiplies the loss; one that is switched off multiplies by 1.
        dtype: torch.bfloat16 or torch.float16.

    Returns:
        The sum of the losses, unscaled. Gradients are clipped to a norm of 10, once they are unscaled. Where one is
        infinite, the weights stay, and the scale is halved.
    """
    with torch.autocast(images[0].device.type, dtype):
        losses = model(images, targets)
    loss = torch.stack([one.float() for one in losses.values()]).sum()
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def accumulate(model: nn.Module, images: Images, targets: Sequence[Any], micro_batch: int) -> dict[str, float]:
    """Gradients of a batch, a few images at a time.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch.
        micro_batch: images at a time; the last part may be smaller.

    Returns:
        The losses of the whole batch, by name. Its gradient is added to those that the weights hold; the weights don't
        move. The memory of a part is free before the next begins.
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
    """Gradients of a batch, in parts as large as memory allows.

    Args:
        model: (images, targets) → dict of losses, each a mean over the images.
        images, targets: the batch.
        micro_batch: images at a time, to begin with.

    Returns:
        The losses of the whole batch, by name; and the images at a time that fitted, for the next step. Where memory
        runs out, the whole batch is tried again with half as many at a time, rounded up. The weights hold the gradient
        of this batch and nothing else.

    Raises:
        torch.OutOfMemoryError: one image at a time is too much.
    """
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images, targets, micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)  # out here, where the error no longer holds the tensors of the failed step


def save_and_resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, train_step: Callable[[int], Any], steps: int
) -> int:
    """Train up to a number of steps, with a checkpoint after each; go on from the checkpoint where there is one.

    Args:
        path: of the checkpoint. At any moment there is none, or a whole one: a new one is written beside it, in the
            same folder, then renamed.
        model, optimizer: as at the start, or in any state where there is a checkpoint.
        train_step: takes the number of the step, from 0; may draw random numbers from torch.
        steps: to do in all.

    Returns:
        The number of the first step that was done here; `steps` where nothing was left. A run that was stopped ends
        with the same weights, to the bit, as one that was not. Reading a checkpoint executes nothing that is in it.
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
        beside = path.with_suffix(".partial")
        torch.save(content, beside)
        beside.replace(path)
    return first
