"""A run's `config.json`: what was trained, on what and how."""

from pathlib import Path

import msgspec

from coursekit import __version__
from coursekit.core.config import DetectorConfig, TrainConfig
from coursekit.core.errors import DataError
from coursekit.core.files import new_file
from coursekit.data.records import Category

CONFIG = "config.json"


class RunConfig(msgspec.Struct, frozen=True):
    """A run's `config.json`.

    `overfit` is the number of images it was trained and scored on, where it was that. `workbook` is the folder that
    parts were taken from, `parts` which those are.
    """

    data: str
    categories: list[Category]
    detector: DetectorConfig
    training: TrainConfig
    overfit: int | None = None
    workbook: str | None = None
    parts: list[str] = []
    version: str = __version__


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
