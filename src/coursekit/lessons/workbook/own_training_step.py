"""An intern's own training step at work, in `coursekit train --detector my_detector`: their `real_step` and `collate`.

The course's loader still reads the images: it replaces damaged ones, resumes in the middle of an epoch, and shares the
records with its workers.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core import distributed
from coursekit.core.device import is_out_of_memory
from coursekit.core.errors import ConfigError, CourseError
from coursekit.data.boxes import Size, Target
from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.workbook.own_parts import COURSE, guarded, part
from coursekit.lessons.workbook.states import RIGHT
from coursekit.lessons.workbook.trusted_workbooks import changed_files
from coursekit.lessons.workbook.workbook import Workbook, importable
from coursekit.runs.run_config import RunConfig
from coursekit.training.clock import STEP as STEP_PHASE
from coursekit.training.loop import StepFunction
from coursekit.training.micro_batches import image_seeds, padded_size
from coursekit.training.run_state import Run
from coursekit.training.step_losses import StepLosses

STEP, COLLATE = "real_step", "collate"
NAMES = (STEP, COLLATE)  # exercises of lessons 08 and 01
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def step_of(workbook: Workbook, reference_for: Collection[str] = (), *, compiled: bool = False) -> StepFunction | None:
    """Return a training step made of a workbook's `real_step`, and print whose it is.

    Args:
        workbook: the intern's.
        reference_for: names of parts to take from the course, whatever the intern has.
        compiled: whether the detector is compiled.

    Returns:
        None where the course's step trains: if the intern's isn't correct, or can't do what is asked for.
    """
    with importable(workbook):
        state = state_of(workbook, STEP)
        if state == "not started":
            return None
        reason = _reason_against(state, STEP in reference_for, compiled)
        if distributed.rank() == 0:
            owner = "borrowed" if state == "borrowed" else "yours"
            print(f"  {STEP:18} {COURSE + ': ' + reason if reason else owner + ' (it takes the training steps)'}")
        return None if reason else trainer_step(workbook)


def step_of_run(
    config: RunConfig, workbook: Workbook | None, reference_for: Collection[str] = ()
) -> StepFunction | None:
    """Return the step that a run was started with; None for the course's.

    Raises:
        ConfigError: it was the intern's, and no workbook was named, or its step has changed since.
    """
    if not config.own_step or STEP in reference_for:
        return None
    if workbook is None:
        raise ConfigError(f"this run trains with a workbook's {STEP}: name that workbook with --detector.")
    if changed := changed_files(workbook, config, [name for name in NAMES if name in config.digests]):
        raise ConfigError(
            f"{workbook.folder}: {', '.join(changed)} there is not what this run was started with. Restore it, or "
            f"continue with the course's: --reference {STEP}"
        )
    with importable(workbook):
        return trainer_step(workbook)


def files_of_step(workbook: Workbook) -> list[str]:
    """Return the names of the answers that `step_of` uses, for their digests."""
    return [name for name in NAMES if workbook.file_of(name).is_file()]


def _reason_against(state: str, is_refused: bool, compiled: bool) -> str:
    """Say why an intern's step can't be used; an empty text if it can."""
    if is_refused:
        return "as you asked"
    if state not in RIGHT:
        return "yours is not right yet"
    if compiled:
        return "with --compile, steps need fixed shapes"
    if distributed.world_size() > 1:
        return "several processes have to add up their gradients"
    return ""


def trainer_step(workbook: Workbook) -> StepFunction:
    """Turn a workbook's `real_step` into a step of the trainer. Its `collate`, or the course's, pads batches."""
    real_step, collate = (guarded(workbook, name, _stopping(part(workbook, name))) for name in NAMES)

    def step(run: Run, images: Sequence[Tensor], targets: Sequence[Target]) -> tuple[StepLosses, int]:
        model = _BatchModel(run.model, padded_size(run.model, images))
        seeds = image_seeds(run, [target["image_id"] for target in targets])
        samples = [(image, dict(target)) for image, target in zip(images, targets, strict=True)]
        with run.clock.phase("copy"):
            batch, _ = collate(samples)
            batch = batch.to(run.device)
            moved = [_moved(*each, run.device) for each in zip(images, targets, seeds, strict=True)]
        with run.clock.phase(STEP_PHASE):  # real_step doesn't say when forward, backward and the optimizer end
            losses = _take(run, lambda size: _call(real_step, run, model, batch, moved, size))
        return _as_step_losses(losses, targets), len(images)

    return step


def _call(real_step: Callable[..., Any], run: Run, model: nn.Module, batch: Tensor, targets: Any, size: int) -> Any:
    dtype = DTYPES[run.config.precision]
    return real_step(model, batch, targets, run.optimizer, run.scaler, dtype, size, run.config.clip_norm)


def _take(run: Run, attempt: Callable[[int], tuple[dict[str, float], int]]) -> dict[str, float]:
    """Attempt a step, and let the run know if it needed a smaller micro-batch.

    Raises:
        CourseError: not even one image fits into memory.
    """
    while True:
        try:
            losses, size = attempt(run.micro_batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
            if isinstance(error, torch.OutOfMemoryError):  # the intern's step has tried all sizes
                run.micro_batch = 1
        else:
            while run.micro_batch > max(1, size):
                run.halve_micro_batch("")
            return losses
        run.halve_micro_batch(reason)


class _BatchModel(nn.Module):
    """A run's detector, called as `real_step` calls a model: with a slice of a padded batch of uint8 images.

    Args:
        model: the detector.
        pad_to: height and width to which the whole batch is padded.
    """

    def __init__(self, model: nn.Module, pad_to: Size) -> None:
        super().__init__()
        self.model, self.pad_to = model, pad_to

    def forward(self, images: Tensor, targets: Sequence[Mapping[str, Any]]) -> Any:
        sizes = [target["size"] for target in targets]
        own = [image[:, :height, :width] / 255 for image, (height, width) in zip(images, sizes, strict=True)]
        gt = [{name: target[name] for name in ("boxes", "labels")} for target in targets]
        return self.model(own, gt, pad_to=self.pad_to, seeds=[target["seed"] for target in targets])


def _moved(image: Tensor, target: Target, seed: int, device: torch.device) -> dict[str, Any]:
    """Return an image's target on the device, with what `_BatchModel` needs to know of the image."""
    boxes, labels = target["boxes"].to(device), target["labels"].to(device)
    return {"boxes": boxes, "labels": labels, "size": tuple(image.shape[1:]), "seed": seed}


def _stopping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function stop the run with one clear sentence when it raises a FloatingPointError."""

    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except FloatingPointError as error:
            raise CourseError(f"Your {STEP} stopped: {error}. Try a tenth of the learning rate.") from None

    return call


def _as_step_losses(losses: Mapping[str, float], targets: Sequence[Target]) -> StepLosses:
    values = torch.tensor(list(losses.values()))
    return StepLosses(list(losses), values, [values], [[target["image_id"] for target in targets]])
