"""Checkpoints that resume exactly."""

import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch

from coursekit.core.config import TrainConfig
from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import new_file
from coursekit.training import checkpoint_checks as checks
from coursekit.training.run_state import Run

LAST, BEST = "last.pt", "best.pt"
FORMAT_PREFIX, FORMAT = "coursekit checkpoint ", 2
COUNTERS = ("epoch", "batch", "steps", "images", "seconds", "micro_batch", "best")
# These decide the learning rate of each step and the order of the images, so a resumed run has to keep them.
FIXED_OPTIONS = (
    "epochs", "batch_size", "lr", "backbone_lr", "optimizer", "seed", "flip", "warmup_steps", "weight_decay",
)  # fmt: skip


def save_checkpoint(path: Path, run: Run) -> None:
    """Write a checkpoint: weights, optimizer, loss scale, position in the data, random states, history.

    Raises:
        DataError: it can't be written, for example because the disk is full. The previous checkpoint is still there.
        CourseError: see `Run.read_steps`.
    """
    run.read_steps()  # a checkpoint has no step whose losses may turn out to be NaN
    content = {
        "format": f"{FORMAT_PREFIX}{FORMAT}",
        "config": msgspec.to_builtins(run.config),
        "numbers": {name: getattr(run, name) for name in COUNTERS},
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "clock": run.clock.seconds,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "history": msgspec.to_builtins(run.history),
    }
    try:
        with new_file(path) as partial:
            torch.save(content, partial)
    except (OSError, RuntimeError) as error:  # torch's writer raises a RuntimeError if the disk is full
        raise DataError(
            f"{path}: the checkpoint can't be written ({_first_line(error)}). Free some disk space, then use --resume: "
            "the previous checkpoint is intact."
        ) from None


def load_checkpoint(path: Path, run: Run) -> None:
    """Restore a run from a checkpoint, in place. Nothing in the file is executed.

    The whole checkpoint is checked first: if it can't be used, the run stays as it was.

    Raises:
        DataError: there is no checkpoint, it is cut off, of another format, or not one of ours.
        ConfigError: it belongs to a different model, or to a run with another learning rate or order of the images.
    """
    content = read_checkpoint(path)
    try:
        plain = checks.plain_content(content)
        _check_options(path, plain.config, run.config)
        checks.check_model(content.get("model"), run)
        checks.check_position(plain, run)
        optimizer = checks.optimizer_state(content.get("optimizer"), run, plain.numbers.steps)
        if run.config.precision == "auto" and plain.config.precision != "auto":
            run.use_precision(plain.config.precision)  # the one that was measured at the start of the run
        scaler = checks.scaler_state(content.get("scaler"), run)
        _restore_random(content)
    except checks.OtherModelError as error:
        raise ConfigError(f"{path}: belongs to a different model ({error}). Start again with another --out.") from None
    except (ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None
    run.model.load_state_dict(content["model"])
    run.optimizer.load_state_dict(optimizer)
    if scaler:
        run.scaler.load_state_dict(scaler)
    run.clock.seconds = plain.clock
    for name in COUNTERS:
        setattr(run, name, getattr(plain.numbers, name))
    run.history = plain.history


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without a run.

    Raises:
        DataError: see `load_checkpoint`.
    """
    if not path.is_file():
        raise DataError(f"{path}: no checkpoint here. Start without --resume.")
    try:
        checks.check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about kinds of tensors that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)  # executes nothing
    except Exception as error:  # a damaged file can raise any kind
        raise _damaged(path, error) from None
    _check_format(path, content)
    return content


def _damaged(path: Path, error: Exception) -> DataError:
    reason = _first_line(error)[:300].removesuffix(".")
    return DataError(f"{path}: cut off, or not one of our checkpoints ({reason}). Start again with another --out.")


def _check_format(path: Path, content: Any) -> None:
    written = str(content.get("format")) if isinstance(content, dict) else ""
    number = written.removeprefix(FORMAT_PREFIX)
    if not written.startswith(FORMAT_PREFIX) or not number.isdecimal() or len(number) > 9:
        raise DataError(f"{path}: not one of our checkpoints. Start again with another --out.")
    if int(number) < FORMAT:
        raise DataError(
            f"{path}: this checkpoint is from an older version of the course (format {number}; this version reads "
            f"{FORMAT}), so start again with another --out."
        )
    if int(number) > FORMAT:
        raise DataError(
            f"{path}: this checkpoint is from a newer version of the course (format {number}; this version reads "
            f"{FORMAT}), so update the course, or start again with another --out."
        )


def _check_options(path: Path, saved: TrainConfig, current: TrainConfig) -> None:
    pairs = [(name, getattr(saved, name), getattr(current, name)) for name in FIXED_OPTIONS]
    different = [f"{name} {before} in the run, {now} now" for name, before, now in pairs if before != now]
    if different:
        raise ConfigError(
            f"{path}: the options differ from the run's ({'; '.join(different)}). Continue it with its own options, or "
            "start again with another --out."
        )


def _restore_random(content: dict[str, Any]) -> None:
    """Set the random states.

    Raises:
        ValueError, RuntimeError: they are not such states. The current ones stay.
    """
    checks.check_random(content)
    before = torch.get_rng_state()
    try:
        torch.set_rng_state(content["random"])
        if torch.cuda.is_available() and len(content["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(content["random_cuda"])
    except RuntimeError:
        torch.set_rng_state(before)
        raise


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
