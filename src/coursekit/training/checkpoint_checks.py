"""Checks of a checkpoint's content: all of it is looked at before anything of it enters the run.

A checkpoint may be cut off, tampered with, or that of another run. Each check raises a ValueError that says what is
wrong; `checkpoint.py` adds the file and what to do.
"""

import math
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from coursekit.core.config import TrainConfig, check_config
from coursekit.core.errors import ConfigError
from coursekit.training.clock import ALL_PHASES, PHASES
from coursekit.training.run_state import Run, Step

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
ARCHIVE = b"PK\x03\x04"  # how torch's files begin
MOMENTS = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}  # what each optimizer remembers

SCALE = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}  # empty without fp16


class OtherModelError(ValueError):
    """The checkpoint is sound, but belongs to a different model."""


class Numbers(msgspec.Struct):
    """The counters of a run; see `Run`."""

    epoch: Count
    batch: Count
    steps: Count
    images: Count
    seconds: float
    micro_batch: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    best: float


class Plain(msgspec.Struct):
    """What a checkpoint has besides tensors."""

    config: TrainConfig
    numbers: Numbers
    clock: dict[str, float]
    history: list[Step]


def check_archive(path: Path) -> None:
    """Check that a file is a zip archive as torch writes it: nothing in it is compressed, so it can't unpack to more.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: it is not.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            raise ValueError("it doesn't begin as a checkpoint does")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("its content is compressed")
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError("it claims to contain more than it has bytes")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} in it has changed")


def plain_content(content: Mapping[str, Any]) -> Plain:
    """Return what a checkpoint has besides tensors, with every type checked.

    Raises:
        ValueError: something is missing, of the wrong type, or no number.
    """
    for name, kind in (("config", dict), ("numbers", dict), ("clock", dict), ("history", list)):
        if not isinstance(content.get(name), kind):
            raise ValueError(f"{name} is missing, or has the wrong type")
    try:
        plain = msgspec.convert(dict(content), Plain)
        check_config(plain.config)
    except (ConfigError, RecursionError, AttributeError, TypeError) as error:
        raise ValueError(f"config, numbers, clock or history: {error}") from None
    if not set(PHASES) <= set(plain.clock) <= set(ALL_PHASES):
        raise ValueError(f"clock has {len(plain.clock)} phases, expected {', '.join(PHASES)}")
    seconds = [plain.numbers.seconds, *plain.clock.values(), *(step.seconds for step in plain.history)]
    if not all(math.isfinite(value) and value >= 0 for value in seconds):
        raise ValueError("its seconds are not all numbers from 0")
    if not math.isfinite(plain.numbers.best):
        raise ValueError(f"best is {plain.numbers.best}")
    return plain


def check_position(plain: Plain, run: Run) -> None:
    """Check that epoch, batch and step fit each other, the history and the run's data.

    Raises:
        ValueError: they don't.
    """
    numbers, batches = plain.numbers, len(run.loader)
    expected = numbers.epoch * batches + numbers.batch
    if numbers.steps != expected or numbers.epoch > run.config.epochs or numbers.batch > batches:
        raise ValueError(
            f"epoch {numbers.epoch}, batch {numbers.batch} and step {numbers.steps} don't fit {batches} batches per "
            "epoch: has the data changed?"
        )
    if [step.step for step in plain.history] != list(range(1, numbers.steps + 1)):
        raise ValueError(f"its history has {len(plain.history)} steps that don't lead to step {numbers.steps}")
    if numbers.micro_batch > run.config.batch_size:
        raise ValueError(f"micro_batch is {numbers.micro_batch}, more than a batch")


def check_model(saved: Any, run: Run) -> None:
    """Check that the saved weights are those of the run's model.

    Raises:
        OtherModelError: they have other names or shapes.
        ValueError: they are no weights, or not finite.
    """
    expected = run.model.state_dict()
    if not isinstance(saved, dict) or not all(isinstance(name, str) and is_plain(saved[name]) for name in saved):
        raise ValueError("model is not a dictionary of tensors")
    try:
        check_shapes({name: value.shape for name, value in saved.items()}, expected)
    except ValueError as error:
        raise OtherModelError(str(error)) from None
    check_values(saved, expected, {name for name, _ in run.model.named_parameters()})


def optimizer_state(saved: Any, run: Run, steps: int) -> dict[str, Any]:
    """Return the state that the run's optimizer continues with: what the saved one remembers, with the run's options.

    Args:
        saved: the saved optimizer's `state_dict`.
        run: the run before it continues.
        steps: steps that the saved run has done.

    Raises:
        OtherModelError: it is about other parameters.
        ValueError: something in it can't be used.
    """
    ours = run.optimizer.state_dict()
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        raise ValueError("optimizer is not an optimizer's state")
    groups = saved.get("param_groups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise ValueError("optimizer has no groups of parameters")
    if [group.get("params") for group in groups] != [group["params"] for group in ours["param_groups"]]:
        raise OtherModelError("its optimizer has other parameters")
    parameters = [parameter for group in run.optimizer.param_groups for parameter in group["params"]]
    for index, moments in saved["state"].items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError(f"optimizer remembers parameter {str(index)[:20]!r}, which there isn't")
        _check_moments(moments, parameters[index], MOMENTS[run.config.optimizer], steps, f"optimizer, {index}")
    if steps and not saved["state"]:
        raise ValueError("optimizer remembers nothing")
    return {"state": saved["state"], "param_groups": ours["param_groups"]}


def _check_moments(moments: Any, parameter: torch.Tensor, names: set[str], steps: int, where: str) -> None:
    if not isinstance(moments, dict) or set(moments) != names:
        raise ValueError(f"{where}: expected {', '.join(sorted(names))}")
    for name, value in moments.items():
        if name == "momentum_buffer" and value is None:
            continue
        shape = [] if name == "step" else list(parameter.shape)
        if not is_plain(value) or list(value.shape) != shape or value.dtype != torch.float32:
            raise ValueError(f"{where}: {name} is not a float32 tensor of shape {shape}")
        least, most = (0 if name in ("step", "exp_avg_sq") else -math.inf), (steps if name == "step" else math.inf)
        if not (value.isfinite() & (value >= least) & (value <= most)).all():
            raise ValueError(f"{where}: {name} has a value that can't be")


def scaler_state(saved: Any, run: Run) -> dict[str, Any]:
    """Return the state of the loss scale that the run continues with; its own if the saved run had none.

    Raises:
        ValueError: something in it can't be used.
    """
    if not isinstance(saved, dict) or set(saved) not in (set(), SCALE):
        raise ValueError("scaler is not the state of a loss scale")
    if not all(type(value) in (int, float) and math.isfinite(value) and value >= 0 for value in saved.values()):
        raise ValueError("scaler has a value that can't be")
    return saved if saved and run.scaler.is_enabled() else run.scaler.state_dict()


def check_random(content: Mapping[str, Any]) -> None:
    """Check that the random states have the type and size that torch expects.

    Raises:
        ValueError: one of them hasn't.
    """
    states, size = content.get("random_cuda"), torch.get_rng_state().shape
    if not _is_random(content.get("random")) or content["random"].shape != size:
        raise ValueError("random is not the state of a random generator")
    if not isinstance(states, list) or not all(map(_is_random, states)):
        raise ValueError("random_cuda is not a list of states of random generators")


def _is_random(state: Any) -> bool:
    return is_plain(state) and state.dtype == torch.uint8 and state.ndim == 1


def check_shapes(shapes: Mapping[str, Sequence[int]], expected: Mapping[str, Tensor]) -> None:
    """Check that a file has a tensor of each name, of the same shape, and no others.

    Raises:
        ValueError: names the first that differs.
    """
    for name in [*expected, *shapes]:
        if name not in shapes:
            raise ValueError(f"{name} is missing")
        if name not in expected:
            raise ValueError(f"it has a weight {name[:80]!r}, which this detector hasn't")
        if list(shapes[name]) != list(expected[name].shape):
            raise ValueError(f"{name} has the shape {list(shapes[name])[:8]}, not {list(expected[name].shape)}")


def check_values(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], learned: Collection[str] = ()) -> None:
    """Check that tensors have the types of others, and that those that were learned are finite.

    Raises:
        ValueError: names the first that can't be used.
    """
    for name, value in tensors.items():
        if value.dtype != expected[name].dtype:
            raise ValueError(f"{name} has the type {value.dtype}, not {expected[name].dtype}")
        if name in learned and not value.isfinite().all():
            raise ValueError(f"{name} is not finite")


def is_plain(value: Any) -> bool:
    """Return whether a value is an ordinary dense tensor in memory: a checkpoint can hold other kinds."""
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu" and not (
        value.is_nested or value.is_quantized
    )  # fmt: skip
