"""One optimizer step, whatever fits into memory at a time."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.core import distributed
from coursekit.core.device import autocast
from coursekit.core.errors import CourseError
from coursekit.data.boxes import Target
from coursekit.training.state import Run


@dataclass
class Share:
    """This process's part of a batch.

    Attributes:
        whole: images in the batch, over all processes.
        pad_to: height and width to which the whole batch is padded.
        seeds: one for each image; what is sampled in it follows from its seed alone.
    """

    images: Sequence[Tensor]
    targets: Sequence[Target]
    whole: int
    pad_to: tuple[int, int] = (0, 0)
    seeds: list[int] = field(default_factory=list)


def optimizer_step(run: Run, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[dict[str, float], int]:
    """Gradients of the whole batch, clipped; then the weights move.

    Returns:
        The losses by name, and the number of images, over all processes.

    Raises:
        CourseError: a loss is NaN or infinite, or not one image fits into memory; the weights are still those from
            before the step.
    """
    share = share_of_batch(run, images, targets)
    losses = gradients(run, share)
    parameters = [one for one in run.model.parameters() if one.requires_grad]
    with run.clock.phase("optimizer"):
        if distributed.world() > 1:
            distributed.summed(_gradient(one) for one in parameters)
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(parameters, run.config.clip_norm)
        run.scaler.step(run.optimizer)
        run.scaler.update()
    return distributed.added(losses), share.whole


def gradients(run: Run, share: Share) -> dict[str, float]:
    """Add up the gradients of a batch. Where memory runs out, the same images are tried again, half as many at a time.

    Raises:
        CourseError: see `optimizer_step`.
    """
    while True:
        run.optimizer.zero_grad(set_to_none=True)
        try:
            return accumulate(run, share)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        run.halve(reason)  # here, where the error no longer holds the tensors of the failed step


def accumulate(run: Run, share: Share) -> dict[str, float]:
    """Gradients of a batch, `run.micro_batch` images at a time, each part weighted by its number of images.

    The losses are means over anchors and RoIs, of which each image gives equally many, so this is the gradient of the
    whole batch; it is exactly that where every image gives its full sample.
    """
    totals: dict[str, float] = {}
    for start in range(0, len(share.images), run.micro_batch):
        part = slice(start, start + run.micro_batch)
        images, targets = share.images[part], share.targets[part]
        with run.clock.phase("copy"):
            inputs = [image.to(run.device, non_blocking=True) / 255 for image in images]
            truth = [{name: target[name].to(run.device) for name in ("boxes", "labels")} for target in targets]
        with run.clock.phase("forward"), autocast(run.device, run.config.precision):
            losses = run.model(inputs, truth, **_extras(run.model, share, part))
            values = finite(losses, targets)
        weight = len(images) / share.whole
        with run.clock.phase("backward"):
            run.scaler.scale(torch.stack(list(losses.values())).sum() * weight).backward()
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + value * weight
    return totals


def share_of_batch(run: Run, images: Sequence[Tensor], targets: Sequence[Target]) -> Share:
    """What this process does of a batch, and what it has to know of the rest."""
    height, width = padded_size(run.model, images)
    every = distributed.gathered([len(images), height, width], run.device)  # waits for the other processes
    seeds = [_seed(run.config.seed, run.epoch, target["image_id"]) for target in targets]
    return Share(images, targets, int(every[:, 0].sum()), (int(every[:, 1].max()), int(every[:, 2].max())), seeds)


def padded_size(model: nn.Module, images: Sequence[Tensor]) -> tuple[int, int]:
    """Height and width of the largest image as our detector resizes it; 0 for other models, which pad as they like."""
    options: Any = getattr(model, "options", None)
    if options is None or not images:
        return 0, 0
    scales = [min(options.min_size / min(image.shape[1:]), options.max_size / max(image.shape[1:])) for image in images]
    sides = [
        [math.floor(side * scale) for side in image.shape[1:]] for image, scale in zip(images, scales, strict=True)
    ]
    height, width = (max(side) for side in zip(*sides, strict=True))
    return height, width


def finite(losses: dict[str, Tensor], targets: Sequence[Target]) -> dict[str, float]:
    """The losses as numbers.

    Raises:
        CourseError: one is NaN or infinite; it and the images of the batch are named.
    """
    values = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))  # waits for the GPU
    bad = ", ".join(f"{name} = {value}" for name, value in values.items() if not math.isfinite(value))
    if bad:
        images = ", ".join(str(target["image_id"]) for target in targets)
        raise CourseError(
            f"The loss is no longer a number ({bad}) on the images {images}. Try a tenth of the learning rate."
        )
    return values


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the CPU, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _extras(model: nn.Module, share: Share, part: slice) -> dict[str, Any]:
    """What our detector takes besides images and targets, so that a part of a batch is treated like the whole."""
    if "seeds" not in inspect.signature(model.forward).parameters:
        return {}
    return {"pad_to": share.pad_to, "seeds": share.seeds[part]}


def _seed(seed: int, epoch: int, image_id: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, abs(image_id)]).generate_state(1)[0])


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient; zeros where this process had none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
