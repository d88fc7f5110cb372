"""A run's folder: what was trained, on what, how, and the weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from coursekit import __version__
from coursekit.data.dataset import CocoDataset
from coursekit.data.records import Category
from coursekit.detector import build_detector
from coursekit.errors import DataError
from coursekit.files import new_file
from coursekit.pretrained import DEFAULT
from coursekit.training.checkpoint import LAST
from coursekit.training.settings import Settings

CONFIG, WEIGHTS = "config.json", "model.safetensors"


Parts = Mapping[str, Callable[..., Any]]


class DetectorConfig(msgspec.Struct, frozen=True):
    """What `build_detector` was called with."""

    num_classes: int
    backbone: str = DEFAULT
    size: int = 320
    channels: int = 96
    hidden: int = 256
    frozen_stages: int = 3

    def build(self, *, pretrained: bool, parts: Parts | None = None) -> nn.Module:
        """The detector, with ImageNet weights or random ones, and with parts of one's own."""
        return build_detector(**msgspec.structs.asdict(self), pretrained=pretrained, parts=parts)


class RunConfig(msgspec.Struct, frozen=True):
    """A run's `config.json`.

    `overfit` is the number of images it was trained and scored on, where it was that. `workbook` is the folder that
    parts were taken from, `parts` which those are.
    """

    data: str
    categories: list[Category]
    detector: DetectorConfig
    settings: Settings
    overfit: int | None = None
    workbook: str | None = None
    parts: list[str] = []
    version: str = __version__


def save_run(folder: Path, model: nn.Module, config: RunConfig) -> None:
    """Write `model.safetensors` and `config.json`."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with new_file(folder / WEIGHTS) as path:
        save_file(state, path)
    save_config(folder, config)


def save_config(folder: Path, config: RunConfig) -> None:
    """Write `config.json`."""
    with new_file(folder / CONFIG) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def load_config(folder: Path) -> RunConfig:
    """A run's configuration.

    Raises:
        DataError: there is no run, or its `config.json` is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise DataError(
            f"{folder}: no run here ({CONFIG} is missing). Train one: coursekit train --data mini --out {folder}"
        )
    try:
        return msgspec.json.decode((folder / CONFIG).read_bytes(), type=RunConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / CONFIG}: damaged ({error}). Train again, or fetch the run again.") from None


def load_run(folder: Path, parts_of: Callable[[RunConfig], Parts] | None = None) -> tuple[nn.Module, RunConfig]:
    """The trained detector of a run, in eval mode, and its configuration.

    Args:
        folder: of the run.
        parts_of: gives the parts that are not the course's, from the run's configuration.

    Raises:
        DataError: there is no run, or a file of it is damaged or does not fit.
    """
    config = load_config(folder)
    if not (folder / WEIGHTS).is_file() and (folder / LAST).is_file():
        raise DataError(f"{folder}: the training has not ended. Go on with it: coursekit train … --resume")
    model = config.detector.build(pretrained=False, parts=parts_of(config) if parts_of and config.parts else None)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{folder / WEIGHTS}: the weights can't be used ({reason}). Train again, or fetch the run again."
        ) from None
    return model.eval(), config


def check_classes(config: RunConfig, dataset: CocoDataset) -> None:
    """See that a data set has the classes that a run was trained on.

    Raises:
        DataError: it has not.
    """
    ours, theirs = [category.id for category in config.categories], dataset.category_ids
    if ours != theirs:
        raise DataError(
            f"{dataset.annotation_file}: {len(theirs)} classes, not the {len(ours)} of {config.data}, which the run "
            "was trained on. Score it on a data set with the same classes."
        )
