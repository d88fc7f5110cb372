"""What one stage costs, and what two cost: weights, images a second, and the memory of a training step. Lesson 11."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from coursekit.core.config import FASTER_RCNN, FCOS_KIND
from coursekit.data import CocoDataset
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.base import Detector
from coursekit.detector.fcos import FCOS
from coursekit.detector.resize import to_batch
from coursekit.lessons.notebooks.short_form import quick, short_form
from coursekit.memory import StepConfig
from coursekit.memory import predict as predict_memory

MIB = 2**20
SIDE = 320  # pixels
IMAGES = 8


def speed_and_memory(detectors: Mapping[str, Detector], dataset: CocoDataset, channels: int, guess: float) -> None:
    """Print how large each detector is, how fast it detects, backbone included, and what a training step needs.

    Args:
        detectors: name → detector on cached maps.
        dataset: its first images are used for the timing.
        channels: of the pyramid's levels.
        guess: how many times as many images a second the reader expects of the last one.
    """
    rates = _images_per_second(detectors, dataset)
    print(f"{'':10}  trained weights   images/s (range)        training step of {IMAGES} images, predicted")
    for name, detector in detectors.items():
        weights = sum(parameter.numel() for parameter in detector.parameters())
        peak = predict_memory(_step(detector, channels, len(dataset.classes))).total / MIB
        print(f"{name:10}  {weights:15,}   {_spread(rates[name], '.1f'):22}  {peak:8,.0f} MiB")
    first, *_, last = rates.values()
    faster = [mine / theirs for mine, theirs in zip(last, first, strict=True)]
    print(f"{list(rates)[-1]}: {_spread(faster, '.2f')} times as many images a second; you said {guess:g}")
    print(short_form(), end="")


def _spread(values: Sequence[float], digits: str) -> str:
    return f"{median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"


def _step(detector: Detector, channels: int, classes: int) -> StepConfig:
    kind = FCOS_KIND if isinstance(detector, FCOS) else FASTER_RCNN
    return StepConfig(
        kind=kind, channels=channels, num_classes=classes, precision="fp32", frozen_stages=8, boxes=12, device="cpu"
    )


@torch.inference_mode()
def _images_per_second(detectors: Mapping[str, Detector], dataset: CocoDataset) -> dict[str, list[float]]:
    """Time each detector several times, in turns: what else the machine does slows both kinds down.

    Returns:
        name → images a second, one number for each round.
    """
    backbone = load_backbone()
    images = [dataset[i][0] / 255 for i in range(min(IMAGES, len(dataset)))]
    batch, sizes = to_batch(images, SIDE, SIDE, backbone.mean, backbone.std, (SIDE, SIDE))
    rates: dict[str, list[float]] = {name: [] for name in detectors}
    for round_ in range(1 + quick(9, 1)):  # the first warms up
        for name, detector in detectors.items():
            with _backbone_of(detector, backbone):
                begin = time.perf_counter()
                detector.eval().predict(batch, sizes)
                seconds = time.perf_counter() - begin
            rates[name] += [len(images) / seconds] if round_ else []
    return rates


@contextmanager
def _backbone_of(detector: Any, backbone: Backbone) -> Iterator[None]:
    """Give a detector on cached maps a real backbone for a while."""
    cached, detector.backbone = detector.backbone, backbone
    try:
        yield
    finally:
        detector.backbone = cached
