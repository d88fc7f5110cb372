"""A training step written out, for any model that returns a dict of losses; how to time it, and how to resume.

`real_step` has the step that a small card needs. `coursekit.training` does the same for several processes and with
hooks: `loop` (an epoch), `clock` (where the time goes) and `checkpoint` (resuming).

These functions share no code with it on purpose: each is the reference solution of an exercise, whose point is to
write the step out.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MAX_NORM = 10.0
Images = Tensor | Sequence[Tensor]
Batch = tuple[Images, Sequence[Any]]


def train_step(
    model: nn.Module,
    images: Images,
    targets: Sequence[Any],
    optimizer: torch.optim.Optimizer,
    max_norm: float = MAX_NORM,
) -> dict[str, float]:
    """Take a training step: forward, backward, and the optimizer's update.

    Args:
        model: (images, targets) → dict of losses, scalars. In training mode.
        images, targets: a batch.
        optimizer: the optimizer of the model. Existing gradients are discarded.
        max_norm: gradients are clipped to this norm.

    Returns:
        The losses by name, as floats.

    Raises:
        FloatingPointError: the sum of the losses is NaN or infinite. The weights are those from before the step.
    """
    losses = model(images, targets)
    total = torch.stack(list(losses.values())).sum()
    if not math.isfinite(total.item()):
        raise FloatingPointError(f"the sum of the losses is {total.item()}")
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return {name: loss.item() for name, loss in losses.items()}


def time_step(
    step: Callable[[Images, Sequence[Any]], Any], batches: Iterator[Batch], clock: Callable[[], float]
) -> dict[str, float]:
    """Take one training step and measure where its time goes.

    Args:
        step: (images, targets) → losses; takes a training step.
        batches: an iterator, from which one batch is taken.
        clock: returns the time in seconds, after waiting until the device has finished all queued work.

    Returns:
        Seconds: "data", the wait for the batch, and "compute", the step. They add up to the time of both.
    """
    start = clock()
    images, targets = next(batches)
    after_data = clock()
    step(images, targets)
    end = clock()
    return {"data": after_data - start, "compute": end - after_data}


def save_and_resume(path: Path, parts: dict[str, Any], train_step: Callable[[int], Any], steps: int) -> int:
    """Train with a checkpoint after each step, resuming from the checkpoint if there is one.

    Args:
        path: path of the checkpoint. Once there is one, it is complete at any moment: a new one is written to another
            file in the same folder, then renamed.
        parts: objects with `state_dict` and `load_state_dict` by name, such as model, optimizer and scaler. They are in
            their initial state, or in any state if there is a checkpoint.
        train_step: takes the number of the step, from 0. It may draw random numbers from torch, on CPU and GPUs.
        steps: total number of steps.

    Returns:
        The number of the first step that this call took; `steps` if none was left. A resumed run ends with exactly the
        same parts as one that was never stopped. Reading a checkpoint executes nothing that is in it.
    """
    first = 0
    if path.exists():
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(content["parts"][name])
        torch.set_rng_state(content["random"])
        torch.cuda.set_rng_state_all(content["random_cuda"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
        content = {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),  # without a GPU: []
            "step": step + 1,
        }
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)
    return first
