"""The whole path in one function: data, training, score, pictures. `coursekit demo` calls it."""

from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError
from coursekit.core.files import write_bytes
from coursekit.core.lock import alone_in
from coursekit.data import CocoDataset, load
from coursekit.data.split_checks import check_splits
from coursekit.data.verify import warn_of_unreadable
from coursekit.evaluation import predict, predict_dataset, score
from coursekit.runs.config import RunConfig
from coursekit.runs.load import build, save_run
from coursekit.runs.write_pictures import write_curves
from coursekit.show import draw_ground_truth_and_predictions, save
from coursekit.training import TrainConfig, train

DEMO_IMAGES = 2640  # 11 epochs of mini: two to five minutes on two cores
OVERFIT_STEPS = 160
MAX_VAL_IMAGES = 500


def demo(data: str, out: Path, *, overfit: int | None = None, seed: int = 0) -> dict[str, float]:
    """Train a detector for a few minutes, score it, and write its files to `out`.

    Args:
        data: name of a recipe, or a folder in COCO's layout.
        out: folder for config.json, curves.png, metrics.json, model.safetensors and predictions.png.
        overfit: train and score on this number of training images, to see whether the detector can learn at all.
        seed: seed of all random numbers.

    Returns:
        COCO's twelve numbers, the training run's `seconds` and `images_per_second`.

    Raises:
        ConfigError: `overfit` is less than 1, another training writes into `out`, or it can't be written to.
        DataError: the data can't be used, or too many images can't.
    """
    if overfit is not None and overfit < 1:
        raise ConfigError(f"--overfit {overfit}: give at least 1 image, or leave the option out.")
    train_set, val_set = _load_sets(data, overfit)
    warn_of_unreadable(train_set)
    if val_set is not train_set:
        warn_of_unreadable(val_set)
    config = RunConfig(
        data=data,
        categories=train_set.categories,
        detector=DetectorConfig(num_classes=len(train_set.classes)),
        training=_demo_train_config(len(train_set), overfit, seed),
        overfit=overfit,
    )
    with alone_in(out, "training"):
        return _train_and_score(out, config, train_set, val_set)


def _train_and_score(out: Path, config: RunConfig, train_set: CocoDataset, val_set: CocoDataset) -> dict[str, float]:
    torch.manual_seed(config.training.seed)
    model = build(config.detector, pretrained=True)
    history = train(model, train_set, config.training)
    save_run(out, model, config)
    metrics = score(predict_dataset(model, val_set), val_set)
    metrics |= {"seconds": history[-1].seconds, "images_per_second": history[-1].images / history[-1].seconds}
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
    return train_set.head(DEMO_IMAGES), val_set.with_classes(train_set.categories).head(MAX_VAL_IMAGES)


def _first_readable(dataset: CocoDataset, count: int) -> CocoDataset:
    """Return the first images with objects, without those that can't be read."""
    few = dataset.first(count)
    with_objects = (index for index in range(len(dataset)) if len(dataset.target(index)["boxes"]))
    readable = dataset.readable(with_objects, count)
    return replace(dataset, rows=dataset.rows[readable]) if len(readable) == count else few


def _demo_train_config(images: int, overfit: int | None, seed: int) -> TrainConfig:
    if overfit is None:
        return TrainConfig(epochs=max(1, DEMO_IMAGES // images), seed=seed)
    batch_size = min(TrainConfig().batch_size, images)
    return TrainConfig(epochs=-(-OVERFIT_STEPS * batch_size // images), batch_size=batch_size, flip=False, seed=seed)
