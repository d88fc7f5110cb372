"""A trained detector, saved to a run's folder and loaded again."""

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
from coursekit.evaluation.scores import truth_of
from coursekit.runs.config import RunConfig, load_config, save_config
from coursekit.training.checkpoint import LAST

WEIGHTS = "model.safetensors"
Parts = Mapping[str, Callable[..., Any]]


def build(config: DetectorConfig, *, pretrained: bool, parts: Parts | None = None) -> nn.Module:
    """Build the detector of a configuration, with ImageNet weights or random ones, and with some parts replaced."""
    return build_detector(**asdict(config), pretrained=pretrained, parts=parts)


def save_run(folder: Path, model: nn.Module, config: RunConfig) -> None:
    """Write `model.safetensors` and `config.json`."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with new_file(folder / WEIGHTS) as path:
        save_file(state, path)
    save_config(folder, config)


def load_run(folder: Path, parts: Parts | None = None) -> tuple[nn.Module, RunConfig]:
    """Load the trained detector of a run, in eval mode, and its configuration.

    Args:
        folder: the run's folder.
        parts: the parts named in the run's configuration that are not the course's, by name.

    Raises:
        DataError: there is no run, or a file of it is damaged or does not fit.
        ConfigError: the run was trained with parts that are not in `parts`.
    """
    config = load_config(folder)
    if not (folder / WEIGHTS).is_file() and (folder / LAST).is_file():
        raise DataError(f"{folder}: the training has not ended. Go on with it: coursekit train … --resume")
    model = build(config.detector, pretrained=False, parts=_recorded(config, parts or {}))
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{folder / WEIGHTS}: the weights can't be used ({reason}). Train again, or fetch the run again."
        ) from None
    return model.eval(), config


def _recorded(config: RunConfig, parts: Parts) -> Parts:
    """Return those parts that the run was trained with."""
    missing = [name for name in config.parts if name not in parts]
    if missing:
        raise ConfigError(
            f"this run was trained with {', '.join(missing)} of {config.workbook}. Load it with these parts, or train again."
        )
    return {name: parts[name] for name in config.parts}


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


def results_of(
    found: Path, data: str, split: str = "val", parts: Parts | None = None
) -> tuple[list[Result], CocoDataset]:
    """What a run finds in a data set, or what a results file says, and the truth.

    Args:
        found: a run's folder, or a file in COCO's results format.
        data: a recipe's name, a folder laid out as COCO is, or for a results file also an annotation file.
        split: of the data.
        parts: see `load_run`.

    Raises:
        DataError: one of them is not sound, or they don't belong together.
    """
    if found.suffix == ".json":
        dataset = truth_of(Path(data)) if data.endswith(".json") else load(data, split)
        return read_results(found, dataset), dataset
    model, config = load_run(found, parts)
    dataset = load(data, split)
    check_classes(config, dataset)
    return predict_dataset(model.to(best_device()), dataset), dataset
