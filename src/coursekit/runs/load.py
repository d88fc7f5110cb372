"""Save a trained detector to a run's folder, and load it again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from coursekit.core.config import DetectorConfig
from coursekit.core.device import best_device
from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import new_file
from coursekit.data import CocoDataset, load
from coursekit.detector import build_detector
from coursekit.evaluation import Result, predict_dataset, read_results
from coursekit.evaluation.scores import load_annotations
from coursekit.runs.config import RunConfig, load_config, save_config
from coursekit.training.checkpoint import LAST

WEIGHTS = "model.safetensors"
Parts = Mapping[str, Callable[..., Any]]


def build(config: DetectorConfig, *, pretrained: bool, parts: Parts | None = None) -> nn.Module:
    """Build the detector of a configuration.

    Args:
        config: the arguments of `build_detector`.
        pretrained: whether the backbone gets ImageNet weights; else they are random.
        parts: functions and classes that replace the course's, by name.
    """
    return build_detector(**asdict(config), pretrained=pretrained, parts=parts)


def save_run(folder: Path, model: nn.Module, config: RunConfig) -> None:
    """Write `model.safetensors` and `config.json`."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with new_file(folder / WEIGHTS) as path:
        save_file(state, path)
    save_config(folder, config)


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
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{folder / WEIGHTS}: the weights can't be used ({reason}). Train again, or copy the run again."
        ) from None
    precision: Any = config.measured.get(best_device().type, "auto")
    model.precision = precision
    return model.eval(), config


def _replaced_parts(config: RunConfig, parts: Parts) -> Parts:
    """Return the parts that the run was trained with."""
    missing = [name for name in config.parts if name not in parts]
    if missing:
        raise ConfigError(
            f"this run was trained with {', '.join(missing)} from {config.workbook}. Load it with these parts, or "
            "train again."
        )
    return {name: parts[name] for name in config.parts}


def check_classes(config: RunConfig, dataset: CocoDataset) -> None:
    """Check that a data set has the classes that a run was trained on.

    Raises:
        DataError: it has other classes.
    """
    ours, theirs = [category.id for category in config.categories], dataset.category_ids
    if ours != theirs:
        raise DataError(
            f"{dataset.annotation_file}: {len(theirs)} classes, not the {len(ours)} of {config.data}, on which the run "
            "was trained. Score it on a data set with the same classes."
        )


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
        dataset = load_annotations(Path(data)) if data.endswith(".json") else load(data, split)
        return read_results(source, dataset), dataset
    model, config = load_run(source, parts)
    dataset = load(data, split)
    check_classes(config, dataset)
    return predict_dataset(model.to(best_device()), dataset), dataset
