"""The detector that lesson 08 trains: of the reader's own parts, and called with the batches of lesson 01."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.detector import build_detector
from coursekit.detector.boxes import Part
from coursekit.detector.choose_parts import RANDOM
from coursekit.lessons.workbook import own_parts
from coursekit.lessons.workbook.workbook import Workbook


class TrainingModel(nn.Module):
    """A detector that takes a batch of padded images and returns its losses.

    Args:
        detector: takes a list of float images and a list of targets.
        seeded: let what is sampled in an image depend on the image alone, so that two runs sample the same.
    """

    def __init__(self, detector: nn.Module, *, seeded: bool = False) -> None:
        super().__init__()
        self.detector, self.seeded = detector, seeded

    def forward(self, images: Tensor, targets: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Turn (B, 3, H, W) uint8 images and B targets into losses by name, scalars."""
        seeds = [target["image_id"] % 2**32 for target in targets] if self.seeded else None
        losses: dict[str, Tensor] = self.detector(list(images / 255), targets, seeds=seeds)
        return losses


def own_parts_of(workbook: Workbook, *, without_random: bool = False) -> dict[str, Part]:
    """Return the parts of a workbook that pass their checks, by name.

    Args:
        workbook: the reader's.
        without_random: leave out the parts that draw at random: the course's take a seed for each image.
    """
    left_out: Collection[str] = RANDOM if without_random else ()
    return own_parts.functions(own_parts.parts_of(workbook, left_out))


def new_model(
    parts: Mapping[str, Part], num_classes: int, side: int = 320, frozen: int = 3, *, seeded: bool = False
) -> TrainingModel:
    """Build a detector that has learned nothing yet but its backbone, in training mode: the same one each time.

    Args:
        parts: functions and classes to use in place of the course's, by name.
        num_classes: number of classes, without the background.
        side: long side to which images are resized, in pixels.
        frozen: how many stages of the backbone are not trained.
        seeded: see `TrainingModel`.
    """
    torch.manual_seed(0)
    detector = build_detector(num_classes=num_classes, size=side, frozen_stages=frozen, parts=parts)
    return TrainingModel(detector, seeded=seeded).train()


def seeded_model(workbook: Workbook, num_classes: int) -> TrainingModel:
    """Build a detector from a workbook's parts that samples the same anchors and RoIs in an image each time."""
    return new_model(own_parts_of(workbook, without_random=True), num_classes, seeded=True)


def gradient(model: nn.Module) -> Tensor:
    """Return all gradients of a model as one vector, (N,)."""
    gradients = [parameter.grad for parameter in model.parameters()]
    return torch.cat([each.flatten() for each in gradients if each is not None])


def on_device(
    batches: Iterable[tuple[Tensor, Sequence[Mapping[str, Any]]]], device: torch.device
) -> Iterator[tuple[Tensor, list[dict[str, Any]]]]:
    """Move each batch to the device when it is asked for: in the process that trains, which alone may use the GPU.

    Args:
        batches: images (B, 3, H, W) and targets, each with "boxes" and "labels".
        device: where to.
    """
    for images, targets in batches:
        yield images.to(device), [_moved(target, device) for target in targets]


def _moved(target: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {**target, "boxes": target["boxes"].to(device), "labels": target["labels"].to(device)}
