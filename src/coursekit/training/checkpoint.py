"""A run on disk, to go on from to the same numbers."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import msgspec
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import new_file
from coursekit.training.state import Run, Step

LAST, BEST = "last.pt", "best.pt"
FORMAT = "coursekit checkpoint 1"
NUMBERS = ("epoch", "batch", "steps", "images", "seconds", "micro_batch", "best")


def save_checkpoint(path: Path, run: Run) -> None:
    """Write a run: weights, optimizer, loss scale, where in the data it is, random states. Whole or not at all.

    Raises:
        DataError: it can't be written, for instance because the disk is full; the former checkpoint is still there.
    """
    content = {
        "format": FORMAT,
        "config": msgspec.to_builtins(run.config),
        "numbers": {name: getattr(run, name) for name in NUMBERS},
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
    except (OSError, RuntimeError) as error:  # torch's writer raises a RuntimeError where the disk is full
        raise DataError(
            f"{path}: the checkpoint can't be written ({_first_line(error)}). Make room and go on with --resume; the "
            "checkpoint before it is still there."
        ) from None


def load_checkpoint(path: Path, run: Run) -> None:
    """Put a run where it was. Nothing in the file is executed.

    Raises:
        DataError: there is none, it is cut, or it was not made by us.
        ConfigError: it is of another model, or of another course of the learning rate or order of the images.
    """
    content = read_checkpoint(path)
    before, now = content["config"], msgspec.to_builtins(run.config)
    fixed = ("epochs", "batch_size", "lr", "backbone_lr", "optimizer", "seed", "flip", "warmup_steps", "weight_decay")
    other = [f"{name} {before[name]} there, {now[name]} here" for name in fixed if before[name] != now[name]]
    if other:
        raise ConfigError(f"{path}: a run with other settings ({'; '.join(other)}). Go on with its own, or start anew.")
    try:
        run.model.load_state_dict(content["model"])
        run.optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"{path}: of another model ({_first_line(error)}). Start anew with another --out.") from None
    run.scaler.load_state_dict(content["scaler"])
    run.clock.seconds = content["clock"]
    for name in NUMBERS:
        setattr(run, name, content["numbers"][name])
    run.history = msgspec.convert(content["history"], list[Step])
    _restore_random(content)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What is in a checkpoint.

    Raises:
        DataError: see `load_checkpoint`.
    """
    if not path.is_file():
        raise DataError(f"{path}: no checkpoint here. Start without --resume.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)  # executes nothing
    except (RuntimeError, UnpicklingError, EOFError, ValueError, OSError, KeyError) as error:
        reason = _first_line(error)
        raise DataError(
            f"{path}: cut, or not one of our checkpoints ({reason}). Start anew with another --out."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: not one of our checkpoints. Start anew with another --out.")
    return content


def _restore_random(content: dict[str, Any]) -> None:
    torch.set_rng_state(content["random"])
    if torch.cuda.is_available() and len(content["random_cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(content["random_cuda"])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
