"""The whole path in one function: data, training, score, pictures. `coursekit demo` calls it."""

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import structs

from coursekit.core.config import DetectorConfig
from coursekit.core.device import best_device, choose_precision
from coursekit.core.errors import ConfigError
from coursekit.core.files import write_bytes
from coursekit.core.lock import alone_in
from coursekit.data import CocoDataset, load
from coursekit.data.train_and_val import check_splits
from coursekit.data.verify import warn_of_unreadable
from coursekit.detector.frozen_maps import frozen_maps
from coursekit.evaluation import predict, predict_dataset, score
from coursekit.runs.fit_epochs import FitEpochs
from coursekit.runs.run_config import RunConfig
from coursekit.runs.save_and_load import build, save_run
from coursekit.runs.write_pictures import write_curves
from coursekit.show import draw_ground_truth_and_predictions, save
from coursekit.training import TrainConfig, train

MOST_IMAGES, MOST_VAL_IMAGES = 320, 200
SECONDS = 100  # from here to the pictures; with the imports and an estimate that is a tenth off, less than two minutes
SECONDS_TO_DRAW = 6  # the pictures, at the end
MOST_EPOCHS = 12
OVERFIT_STEPS = 160
FEWER_PROPOSALS: dict[str, Any] = {"rpn_pre_nms_top_n": (200, 500), "rpn_post_nms_top_n": (150, 200)}  # while it trains
CHANNELS = 64  # of the pyramid: two thirds of the usual ones
ALL_STAGES = 8  # of the default backbone; none of them is trained


def demo(
    data: str, out: Path, *, epochs: int | None = None, overfit: int | None = None, seed: int = 0
) -> dict[str, float]:
    """Train a detector in less than two minutes, score it, and write its files to `out`.

    The whole backbone is frozen, so on a CPU its maps are computed once for each image, and once mirrored.

    Args:
        data: name of a recipe, or a folder in COCO's layout.
        out: folder for config.json, curves.png, metrics.json, model.safetensors and predictions.png.
        epochs: passes over the images; None takes as many as fit into the time.
        overfit: train and score on this number of training images, to see whether the detector can learn at all.
        seed: seed of all random numbers.

    Returns:
        COCO's twelve numbers, the training run's `seconds` and `images_per_second`.

    Raises:
        ConfigError: `epochs` or `overfit` is less than 1, both are given, another training writes into `out`, or it
            can't be written to.
        DataError: the data can't be used, or too many images can't.
    """
    deadline = time.monotonic() + SECONDS
    _check(epochs, overfit)
    train_set, val_set = _load_sets(data, overfit)
    say("Reading every image once, to see whether all can be used.")
    warn_of_unreadable(train_set)
    if val_set is not train_set:
        warn_of_unreadable(val_set)
    training = _train_config(epochs, seed) if overfit is None else _overfit_config(len(train_set), seed)
    detector = DetectorConfig(num_classes=len(train_set.classes))
    if overfit is None:
        detector = structs.replace(detector, channels=CHANNELS, frozen_stages=ALL_STAGES)
    config = RunConfig(data, train_set.categories, detector, training, overfit=overfit)
    hooks = [] if epochs or overfit else [FitEpochs(deadline - SECONDS_TO_DRAW, MOST_EPOCHS, len(val_set))]
    with alone_in(out, "training"):
        return _train_and_score(out, config, train_set, val_set, hooks)


def say(text: str) -> None:
    """Print a line about what happens now, beside the results."""
    print(text, file=sys.stderr)


def _check(epochs: int | None, overfit: int | None) -> None:
    if epochs is not None and overfit is not None:
        raise ConfigError("--epochs and --overfit: give one of them. --overfit trains for a fixed number of steps.")
    if epochs is not None and epochs < 1:
        raise ConfigError(f"--epochs {epochs}: give at least 1, or leave the option out.")
    if overfit is not None and overfit < 1:
        raise ConfigError(f"--overfit {overfit}: give at least 1 image, or leave the option out.")


def _train_and_score(
    out: Path, config: RunConfig, train_set: CocoDataset, val_set: CocoDataset, hooks: Sequence[FitEpochs]
) -> dict[str, float]:
    torch.manual_seed(config.training.seed)
    model: Any = build(config.detector, pretrained=True)
    if config.overfit is None:
        model.options = replace(model.options, **FEWER_PROPOSALS)
    is_frozen = config.detector.frozen_stages == ALL_STAGES and best_device().type == "cpu"
    with frozen_maps(model.backbone) if is_frozen else nullcontext():
        history = train(model, train_set, config.training, hooks=hooks)
    for hook in hooks:
        config = structs.replace(config, training=structs.replace(config.training, epochs=hook.epochs))
    save_run(out, model, config)
    metrics = score(predict_dataset(model, val_set), val_set)
    metrics |= {"seconds": history[-1].seconds, "images_per_second": history[-1].images / history[-1].seconds}
    say("Drawing curves.png and predictions.png.")
    write_curves(out, history)
    write_predictions(out, model, val_set)
    write_metrics(out, metrics)
    return metrics


def write_metrics(out: Path, metrics: dict[str, float]) -> None:
    """Write metrics.json."""
    write_bytes(out / "metrics.json", msgspec.json.format(msgspec.json.encode(metrics)) + b"\n")


def write_predictions(out: Path, model: torch.nn.Module, dataset: CocoDataset, count: int = 8) -> None:
    """Write predictions.png: ground truth beside prediction, for images with objects, spread over the data set."""
    filled = [index for index in range(len(dataset)) if len(dataset.target(index)["boxes"])]
    chosen = dataset.readable(filled[:: max(1, len(filled) // count)], count)
    samples = [dataset[index] for index in chosen]
    detections = predict(model, [image for image, _ in samples])
    pairs = [(image, target, detection) for (image, target), detection in zip(samples, detections, strict=True)]
    save(draw_ground_truth_and_predictions(pairs, dataset.classes), out / "predictions.png")


def _load_sets(data: str, overfit: int | None) -> tuple[CocoDataset, CocoDataset]:
    """Load the train and val sets, both small; with `overfit`, a single set for both."""
    train_set = load(data, "train")
    if overfit is not None:
        few = _first_readable(train_set, overfit)
        return few, few
    val_set = load(data, "val")
    check_splits(train_set.index, val_set.index)
    return train_set.head(MOST_IMAGES), val_set.with_classes(train_set.categories).head(MOST_VAL_IMAGES)


def _first_readable(dataset: CocoDataset, count: int) -> CocoDataset:
    """Return the first images with objects, without those that can't be read."""
    few = dataset.first(count)
    with_objects = (index for index in range(len(dataset)) if len(dataset.target(index)["boxes"]))
    readable = dataset.readable(with_objects, count)
    return replace(dataset, rows=dataset.rows[readable]) if len(readable) == count else few


def _train_config(epochs: int | None, seed: int) -> TrainConfig:
    precision = choose_precision(best_device(), "auto")  # measured, it might be another one when the run is repeated
    return TrainConfig(
        epochs=epochs or MOST_EPOCHS, batch_size=4, lr=1e-3, warmup_steps=20, precision=precision, seed=seed
    )


def _overfit_config(images: int, seed: int) -> TrainConfig:
    batch_size = min(TrainConfig().batch_size, images)
    return TrainConfig(epochs=-(-OVERFIT_STEPS * batch_size // images), batch_size=batch_size, flip=False, seed=seed)
