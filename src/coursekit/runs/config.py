"""A run's `config.json`: which detector was trained, on which data, and how."""

from pathlib import Path

import msgspec

from coursekit import __version__
from coursekit.core.config import DetectorConfig, TrainConfig
from coursekit.core.errors import DataError
from coursekit.core.files import new_file
from coursekit.data.records import Category

CONFIG = "config.json"
FORMAT = 2  # of config.json and the files beside it; runs of the first edition have no number and count as 1


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a run's `config.json`.

    Attributes:
        data: name of a recipe, or a folder in COCO's layout.
        categories: the classes; label 1 is the first one.
        detector: the detector's configuration.
        training: the training's configuration.
        overfit: number of images that the run was trained and scored on; None if it was the whole data set.
        workbook: folder that replaced parts came from.
        parts: names of the replaced parts.
        measured: type of device → the precision that was measured to be the fastest on it, if it was "auto".
        version: version of coursekit that wrote it.
        format: number of the format.
    """

    data: str
    categories: list[Category]
    detector: DetectorConfig
    training: TrainConfig
    overfit: int | None = None
    workbook: str | None = None
    parts: list[str] = []
    measured: dict[str, str] = {}
    version: str = __version__
    format: int = FORMAT


class _Header(msgspec.Struct):
    """What a config.json of any format has."""

    format: int = 1


def save_config(folder: Path, config: RunConfig) -> None:
    """Write a run's `config.json`."""
    with new_file(folder / CONFIG) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def load_config(folder: Path) -> RunConfig:
    """Read a run's `config.json`.

    Raises:
        DataError: there is no run, it has another format, or its `config.json` is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise DataError(
            f"{folder}: no run here ({CONFIG} is missing). Train one: coursekit train --data mini --out {folder}"
        )
    content = (folder / CONFIG).read_bytes()
    try:
        _check_format(folder, msgspec.json.decode(content, type=_Header))
        return msgspec.json.decode(content, type=RunConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / CONFIG}: damaged ({error}). Train again, or copy the run again.") from None


def _check_format(folder: Path, header: _Header) -> None:
    formats = f"this run has format {header.format}, and this version of the course reads format {FORMAT}"
    if header.format < FORMAT:
        raise DataError(f"{folder}: {formats}, so train it again with another --out.")
    if header.format > FORMAT:
        raise DataError(f"{folder}: {formats}, so update the course, or train it again with another --out.")
