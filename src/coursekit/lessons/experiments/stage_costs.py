"""What one stage costs, and what two cost: weights, images a second, and the memory of a training step. Lesson 11."""

import time
from collections.abc import Mapping, Sequence
from statistics import median

import torch
from torch import Tensor

from coursekit.core.config import FASTER_RCNN, FCOS_KIND
from coursekit.data import CocoDataset
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.base import Detector
from coursekit.detector.fcos import FCOS
from coursekit.detector.resize import to_batch
from coursekit.lessons.notebooks.short_form import quick
from coursekit.memory import StepConfig
from coursekit.memory import predict as predict_memory

MIB = 2**20
SIDE = 320  # pixels


def speed_and_memory(detectors: Mapping[str, Detector], dataset: CocoDataset, channels: int, guess: float) -> None:
    """Print how large each detector is, how fast it detects, backbone included, and what a training step needs.

    Args:
        detectors: name → detector on cached maps.
        dataset: its first images are used for the timing.
        channels: of the pyramid's levels.
        guess: how many times as many images a second the reader expects of the last one.
    """
    backbone, rates = load_backbone(), []
    images = [dataset[i][0] / 255 for i in range(min(8, len(dataset)))]
    print(f"{'':10}  trained weights   images/s   training step of 8 images, predicted")
    for name, detector in detectors.items():
        weights = sum(parameter.numel() for parameter in detector.parameters())
        rates.append(_images_per_second(detector, backbone, images))
        peak = predict_memory(_step(detector, channels, len(dataset.classes))).total / MIB
        print(f"{name:10}  {weights:15,}   {rates[-1]:8.1f}   {peak:8,.0f} MiB")
    print(f"{list(detectors)[-1]}: {rates[-1] / rates[0]:.2f} times as many images a second; you said {guess:g}")


def _step(detector: Detector, channels: int, classes: int) -> StepConfig:
    kind = FCOS_KIND if isinstance(detector, FCOS) else FASTER_RCNN
    return StepConfig(
        kind=kind, channels=channels, num_classes=classes, precision="fp32", frozen_stages=8, boxes=12, device="cpu"
    )


@torch.inference_mode()
def _images_per_second(detector: Detector, backbone: Backbone, images: Sequence[Tensor]) -> float:
    batch, sizes = to_batch(images, SIDE, SIDE, backbone.mean, backbone.std, (SIDE, SIDE))
    cached, detector.backbone = detector.backbone, backbone
    seconds = []
    for _ in range(quick(5, 1)):
        begin = time.perf_counter()
        detector.eval().predict(batch, sizes)
        seconds.append(time.perf_counter() - begin)
    detector.backbone = cached
    return len(images) / median(seconds)
