"""Save a trained detector to a run's folder, and load it again."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coursekit.core.config import DetectorConfig, check_detector
from coursekit.core.device import best_device
from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import new_file
from coursekit.data import CocoDataset, load
from coursekit.data.source_options import Source
from coursekit.detector import build_detector
from coursekit.evaluation import Result, predict_dataset, read_results
from coursekit.evaluation.results import with_ids_of
from coursekit.evaluation.scores import load_annotations
from coursekit.runs.run_config import RunConfig, load_config, save_config
from coursekit.training.checkpoint import LAST
from coursekit.training.checkpoint_checks import check_shapes, check_values

WEIGHTS = "model.safetensors"
Parts = Mapping[str, Callable[..., Any]]


def build(config: DetectorConfig, *, pretrained: bool, parts: Parts | None = None) -> nn.Module:
    """Build the detector of a configuration.

    Args:
        config: the arguments of `build_detector`.
        pretrained: whether the backbone gets ImageNet weights; else they are random.
        parts: functions and classes that replace the course's, by name, and that have passed their checks: batched
            twins run in place of those that loop over images. For any others, use `build_detector`.

    Raises:
        ConfigError: a number of the configuration can't be used, or as for `build_detector`.
    """
    check_detector(config)
    return build_detector(**asdict(config), pretrained=pretrained, parts=parts, checked=parts or ())


def save_run(folder: Path, model: nn.Module, config: RunConfig) -> None:
    """Write `config.json` and `model.safetensors`. The weights come last: with them, the run is complete.

    Raises:
        DataError: the disk is full.
    """
    save_config(folder, config)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with new_file(folder / WEIGHTS) as path:
        try:
            save_file(state, path)
        except SafetensorError as error:
            raise _as_os_error(error) from None


def _as_os_error(error: SafetensorError) -> OSError:
    """Return the operating system's error that safetensors quotes, such as "… (os error 28)"."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))


def load_run(folder: Path, parts: Parts | None = None) -> tuple[nn.Module, RunConfig]:
    """Load a run's trained detector, in eval mode, and its configuration.

    Args:
        folder: the run's folder.
        parts: the parts that the run replaced, by name.

    Raises:
        DataError: there is no run, it has another format, or one of its files is damaged or doesn't match.
        ConfigError: `parts` lacks a part that the run replaced.
    """
    config = load_config(folder)
    if not (folder / WEIGHTS).is_file() and (folder / LAST).is_file():
        raise DataError(f"{folder}: the training has not finished. Continue it: coursekit train … --resume")
    model = build(config.detector, pretrained=False, parts=_replaced_parts(config, parts or {}))
    model.load_state_dict(_weights(folder / WEIGHTS, model))
    precision: Any = config.measured.get(best_device().type, "auto")
    model.precision = precision
    return model.eval(), config


def _weights(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """Read the weights of a model. Names and shapes are compared first, because a file can claim any size.

    Raises:
        DataError: they are damaged, or not those of the model.
    """
    try:
        if not path.is_file():
            raise RuntimeError("no such file")
        expected = model.state_dict()
        check_shapes(_shapes(path), expected)
        weights = load_file(path)
        check_values(weights, expected, {name for name, _ in model.named_parameters()})
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: the weights can't be used ({reason}). Train again, or copy the run again.") from None
    return weights


def _shapes(path: Path) -> dict[str, list[int]]:
    """Return the name and shape of each tensor in a file, without reading the tensors."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dictionary


def _replaced_parts(config: RunConfig, parts: Parts) -> Parts:
    """Return the parts that the run was trained with."""
    missing = [name for name in config.parts if name not in parts]
    if missing:
        raise ConfigError(
            f"this run was trained with {', '.join(missing)} from {config.workbook}. Load it with these parts, or "
            "train again."
        )
    return {name: parts[name] for name in config.parts}


def check_classes(config: RunConfig, dataset: CocoDataset) -> CocoDataset:
    """Return a data set with the classes that a run was trained on, matched by name.

    Raises:
        DataError: it has a class that the run doesn't know, or no boxes.
    """
    dataset.index.require_boxes()
    return dataset.with_classes(config.categories)


def results_of(
    source: Path, data: str, split: str = "val", parts: Parts | None = None
) -> tuple[list[Result], CocoDataset]:
    """Return the detections of a run in a data set, or those of a results file, and the data set.

    Args:
        source: a run's folder, or a file in COCO's results format.
        data: name of a recipe, or a folder in COCO's layout; for a results file also an annotation file.
        split: split of the data.
        parts: see `load_run`.

    Raises:
        DataError: one of them can't be used, or they don't belong together.
    """
    if source.suffix == ".json":
        is_file = Source.parse(data) == Source(data) and data.endswith(".json")  # without options
        dataset = load_annotations(Path(data)) if is_file else load(data, split)
        return read_results(source, dataset), dataset
    model, config = load_run(source, parts)
    dataset = load(data, split)
    results = predict_dataset(model.to(best_device()), check_classes(config, dataset))
    return with_ids_of(results, config.categories, dataset.categories), dataset
