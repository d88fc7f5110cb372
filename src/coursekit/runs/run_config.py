"""A run's `config.json`: which detector was trained, on which data, and how."""

import os
from pathlib import Path

import msgspec

from coursekit import __version__
from coursekit.core.config import DetectorConfig, TrainConfig, check_config, check_detector
from coursekit.core.errors import ConfigError, DataError, command, plain
from coursekit.core.files import write_bytes
from coursekit.data.records import Category

CONFIG = "config.json"
MOST_BYTES = 2**22
FORMAT = 2  # of config.json and the files beside it; runs of the first edition have no number and count as 1


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a run's `config.json`.

    Attributes:
        data: name of a recipe, or a folder in COCO's layout.
        categories: the classes; label 1 is the first one.
        detector: the detector's configuration.
        training: the training's configuration.
        overfit: number of images that the run was trained and scored on; None if it was the whole data set.
        workbook: folder that replaced parts came from, relative to the run's folder. It is a hint for people: nothing
            is read or run there unless the user names that folder.
        parts: names of the replaced parts.
        own_step: whether the intern's own `real_step` takes the training steps.
        digests: name → digest, of the file of each replaced part, of an own step, and of the workbook's files that
            these import.
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
    own_step: bool = False
    digests: dict[str, str] = {}
    measured: dict[str, str] = {}
    version: str = __version__
    format: int = FORMAT


class _Header(msgspec.Struct):
    """What a config.json of any format has."""

    format: int = 1


def save_config(folder: Path, config: RunConfig) -> None:
    """Write a run's `config.json`."""
    write_bytes(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config)) + b"\n")


def load_config(folder: Path) -> RunConfig:
    """Read a run's `config.json`. It is only data: nothing that it names is opened or run.

    Raises:
        DataError: there is no run, it has another format, or its `config.json` is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        train = command("coursekit", "train", "--data", "mini", "--out", folder)
        raise DataError(f"{folder}: no run here ({CONFIG} is missing). Train one: {train}")
    try:
        content = _content(path)
        _check_format(folder, msgspec.json.decode(content, type=_Header))
        config = msgspec.json.decode(content, type=RunConfig)
        _check_values(config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).removesuffix(".")
        raise DataError(f"{path}: damaged ({reason}). Train again, or copy the run again.") from None
    return config


def relative_to_run(workbook: Path, folder: Path) -> str:
    """Return a workbook's folder as a run's configuration names it: relative to the run's folder, with slashes."""
    try:
        return Path(os.path.relpath(workbook, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return workbook.as_posix()


def _content(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"it has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are expected")
    return path.read_bytes()


def _check_values(config: RunConfig) -> None:
    """Check what the types don't say.

    Raises:
        ConfigError: says what is wrong, without the file.
    """
    check_detector(config.detector)
    check_config(config.training)
    ids = {category.id for category in config.categories}
    if not len(config.categories) == len(ids) == config.detector.num_classes:
        raise ConfigError(
            f"{len(config.categories)} categories with {len(ids)} different ids, but num_classes is "
            f"{config.detector.num_classes}"
        )
    if plain(config.workbook or "") != (config.workbook or ""):
        raise ConfigError("workbook is no path")
    if config.overfit is not None and config.overfit < 1:
        raise ConfigError(f"overfit is {config.overfit}: it must be greater than 0")
    for name in (*config.parts, *config.digests):
        if not name.isidentifier():
            raise ConfigError(f"{name!r} can't be the name of a part")


def _check_format(folder: Path, header: _Header) -> None:
    formats = f"this run has format {header.format}, and this version of the course reads format {FORMAT}"
    if header.format < FORMAT:
        raise DataError(f"{folder}: {formats}, so train it again with another --out.")
    if header.format > FORMAT:
        raise DataError(f"{folder}: {formats}, so update the course, or train it again with another --out.")
