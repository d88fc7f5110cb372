"""One optimizer step, in micro-batches that fit into memory."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.core import distributed
from coursekit.core.device import is_out_of_memory
from coursekit.data.boxes import Size, Target
from coursekit.data.padded_images import PaddedImages, pad_images
from coursekit.detector.base import Detector, takes_padded_images
from coursekit.detector.input_checks import check_targets
from coursekit.detector.packed_targets import PackedTargets, pack_targets
from coursekit.detector.resize import resized_size, size_of
from coursekit.training.copy_to_gpu import copy_images
from coursekit.training.forward_backward import forward_backward, update
from coursekit.training.run_state import Run
from coursekit.training.step_losses import StepLosses, sum_over_processes
from coursekit.training.torch_compile import one_of_few_sizes


@dataclass
class LocalBatch:
    """The part of a batch that this process trains on.

    Attributes:
        images: (3, H, W) uint8, usually on a canvas, and then on the device.
        targets: one per image; for our detector and images on a canvas packed, and then on the device.
        image_ids: one per image, for messages.
        total_images: number of images in the whole batch, over all processes.
        counts: returns what each image adds to the number by which the losses are divided; see `loss_counts`. Only
            micro-batches need it, and for large images it takes a while.
        total_count: the sum of the counts over all processes; None if there is only one.
        seeds: one per image. What the detector samples in an image depends on its seed only.
        pad_to: height and width to which the whole batch is padded.
    """

    images: Sequence[Tensor]
    targets: Sequence[Target] | PackedTargets
    image_ids: list[int]
    total_images: int
    counts: Callable[[], list[int]]
    total_count: int | None
    seeds: list[int]
    pad_to: Size = (0, 0)

    def weight(self, part: slice) -> float:
        """Return the weight of a micro-batch's losses in those of the whole batch."""
        if len(self.images[part]) == self.total_images:
            return 1.0
        counts = self.counts()
        total = sum(counts) if self.total_count is None else self.total_count
        return max(1, sum(counts[part])) / max(1, total)


def optimizer_step(run: Run, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[StepLosses, int]:
    """Accumulate the gradients of a batch, clip them, and update the weights.

    If a loss is NaN or infinite, the weights stay as they are, in this step and in all later ones. Whether it is, is
    known on the GPU; Python finds out when it reads the losses.

    Returns:
        The losses, and the number of images, both over all processes.

    Raises:
        CourseError: not even one image fits into memory.
    """
    batch = local_batch(run, images, targets)
    losses = accumulate_or_halve(run, batch)
    parameters = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    with run.clock.phase("optimizer"):
        if distributed.world_size() > 1:
            names = run.agree_on_names(losses.names)
            sum_over_processes(losses, [_gradient(parameter) for parameter in parameters], names)
        run.is_bad = torch.maximum(run.is_bad, losses.is_bad())
        update(run.optimizer, parameters, run.config.clip_norm, run.scaler, skip_if=run.is_bad)
    return losses, batch.total_images


def accumulate_or_halve(run: Run, batch: LocalBatch) -> StepLosses:
    """Accumulate the gradients of a batch. If memory runs out, retry the batch in micro-batches half the size.

    Returns and raises what `optimizer_step` does, for this process only.
    """
    while True:
        run.optimizer.zero_grad(set_to_none=True)
        try:
            return accumulate(run, batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        # Outside the except block, the error no longer keeps the tensors of the failed step alive.
        run.halve_micro_batch(reason)


def accumulate(run: Run, batch: LocalBatch) -> StepLosses:
    """Accumulate the gradients of a batch in micro-batches of `run.micro_batch` images.

    The losses are means over anchors and RoIs, and each image contributes the same number of both; or over cells with
    an object, which are counted. So the weighted sum is the gradient of the whole batch: exactly, if each image fills
    its sample.
    """
    losses = StepLosses()
    for start in range(0, len(batch.images), run.micro_batch):
        part = slice(start, start + run.micro_batch)
        weight = batch.weight(part)
        losses.add(_micro_step(run, batch, part, weight), weight, batch.image_ids[part])
    return losses


def _micro_step(run: Run, batch: LocalBatch, part: slice, weight: float) -> Mapping[str, Tensor]:
    """Add the gradient of a micro-batch, and return its losses."""
    images, targets = batch.images[part], batch.targets[part]
    if not isinstance(targets, PackedTargets):
        with run.clock.phase("copy"):
            images = [image.to(run.device, non_blocking=True) / 255 for image in images]
            targets = [_copied(target, run.device) for target in targets]
    return forward_backward(
        lambda: run.model(images, targets, **_detector_arguments(run.model, batch, part)),
        run.device,
        run.config.precision,
        weight=weight,
        scaler=run.scaler,
        phase=run.clock.phase,
    )


def local_batch(run: Run, images: Sequence[Tensor], targets: Sequence[Target]) -> LocalBatch:
    """Make this process's part of a batch, with the number of images and the largest size over all processes."""
    height, width = padded_size(run.model, images, few=run.config.compile)
    is_alone = distributed.world_size() == 1
    numbers = [len(images), height, width, 0 if is_alone else sum(loss_counts(run.model, images, targets))]
    # waits for the other processes
    lengths, heights, widths, counts = zip(*distributed.all_gather(numbers), strict=True)
    batch = moved_batch(run, images, targets, sum(lengths), (max(heights), max(widths)))
    return batch if is_alone else replace(batch, total_count=sum(counts))


def loss_counts(model: nn.Module, images: Sequence[Tensor], targets: Sequence[Target]) -> list[int]:
    """Return what each image adds to the number by which the losses of its batch are divided.

    See `Detector.loss_counts`. For models that aren't ours, each image adds 1.
    """
    if not isinstance(model, Detector):
        return [1] * len(images)
    return model.loss_counts(targets, [size_of(image) for image in images])


def moved_batch(
    run: Run, images: Sequence[Tensor], targets: Sequence[Target], total_images: int, pad_to: Size = (0, 0)
) -> LocalBatch:
    """Return a batch whose images and targets are on their way to the device.

    Raises:
        DataError: our detector can't learn from a box.
    """
    image_ids = [target["image_id"] for target in targets]
    counts = cache(partial(loss_counts, run.model, tuple(images), tuple(targets)))
    seeds = image_seeds(run, image_ids)
    moved: Sequence[Target] | PackedTargets = targets
    with run.clock.phase("copy"):
        images = pad_images(images)
        if isinstance(images, PaddedImages):
            if takes_padded_images(run.model):
                options: Any = run.model.options
                checked = check_targets(images, targets, options.num_classes)
                packed = pack_targets(checked, images.sizes, seeds, options.min_size, options.max_size)
                moved = packed.to(run.device)
            images = copy_images(images, run.device)
    return LocalBatch(images, moved, image_ids, total_images, counts, None, seeds, pad_to)


def padded_size(model: nn.Module, images: Sequence[Tensor], *, few: bool = False) -> Size:
    """Return the largest height and width of the images as our detector resizes them.

    Returns (0, 0) for other models, which pad as they like.

    Args:
        model: the model.
        images: (3, H, W).
        few: round up to one of few sizes, for the compiler.
    """
    options: Any = getattr(model, "options", None)
    if options is None or not images:
        return 0, 0
    sizes = [resized_size(size_of(image), options.min_size, options.max_size) for image in images]
    heights, widths = zip(*sizes, strict=True)
    size = max(heights), max(widths)
    return one_of_few_sizes(size, options.max_size) if few else size


def _detector_arguments(model: nn.Module, batch: LocalBatch, part: slice) -> dict[str, Any]:
    """Return our detector's extra arguments, with which a micro-batch is treated like a part of the whole batch."""
    if "seeds" not in inspect.signature(model.forward).parameters:
        return {}
    if isinstance(batch.targets, PackedTargets):  # they have the seeds
        return {"pad_to": batch.pad_to}
    return {"pad_to": batch.pad_to, "seeds": batch.seeds[part]}


def _copied(target: Target, device: torch.device) -> Target:
    boxes, labels = (target[name].to(device, non_blocking=True) for name in ("boxes", "labels"))
    return {"boxes": boxes, "labels": labels}


def image_seeds(run: Run, image_ids: Sequence[int]) -> list[int]:
    """Return a seed for each image, which is another one in each epoch."""
    sequences = (np.random.SeedSequence([run.config.seed, run.epoch, abs(image_id)]) for image_id in image_ids)
    return [int(sequence.generate_state(1)[0]) for sequence in sequences]


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient, or zeros if this process has none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
