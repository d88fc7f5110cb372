"""Boxes of several images as one tensor, padded to the same number of boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coursekit.data.boxes import Target


@dataclass(frozen=True)
class Boxes:
    """Boxes of each image, padded to the same number.

    Attributes:
        boxes: (B, P, 4) xyxy in pixels.
        is_real: (B, P) bool, False in the padding.
    """

    boxes: Tensor
    is_real: Tensor

    def by_image(self) -> list[Tensor]:
        """Return the boxes of each image, (P_i, 4). This waits for a GPU."""
        return [boxes[real] for boxes, real in zip(self.boxes, self.is_real, strict=True)]


@dataclass(frozen=True)
class Anchors:
    """The anchors of all levels, which are the same for all images of a batch.

    Attributes:
        boxes: (N, 4) xyxy in pixels.
        level_sizes: how many of them are on each level.
        ids: (N,) int64, see `anchor_ids`.
    """

    boxes: Tensor
    level_sizes: list[int]
    ids: Tensor


@dataclass(frozen=True)
class GroundTruth:
    """The ground truth of a batch, padded with boxes of zeros, which overlap nothing.

    Attributes:
        boxes: (B, G, 4) xyxy in pixels, G ≥ 1.
        labels: (B, G) int64 from 1 to K; 0 in the padding.
    """

    boxes: Tensor
    labels: Tensor

    def by_image(self) -> list[tuple[Tensor, Tensor]]:
        """Return the boxes, (G_i, 4), and the labels, (G_i,), of each image. This waits for a GPU."""
        pairs = zip(self.boxes, self.labels, strict=True)
        return [(boxes[labels > 0], labels[labels > 0]) for boxes, labels in pairs]


@dataclass(frozen=True)
class RoIs(Boxes):
    """The sampled RoIs of a batch, padded.

    Attributes:
        boxes, is_real: see `Boxes`; S of each image.
        labels: (B, S) int64, 0 for background.
        target_boxes: (B, Q, 4) xyxy in pixels: those of the first Q RoIs, the only ones that can be positive.
    """

    labels: Tensor
    target_boxes: Tensor


def pad_targets(targets: Sequence[Target]) -> GroundTruth:
    """Pad the targets of a batch to the same number of boxes, at least one."""
    first, most = targets[0]["boxes"], max(1, *(len(target["boxes"]) for target in targets))
    boxes, labels = first.new_zeros(len(targets), most, 4), first.new_zeros(len(targets), most, dtype=torch.int64)
    for image, target in enumerate(targets):
        boxes[image, : len(target["boxes"])] = target["boxes"]
        labels[image, : len(target["boxes"])] = target["labels"]
    return GroundTruth(boxes, labels)


def pad_boxes(boxes: Sequence[Tensor]) -> Boxes:
    """Pad the boxes of each image, (P_i, 4), to the same number."""
    padded = torch.nn.utils.rnn.pad_sequence(list(boxes), batch_first=True)  # (B, P, 4)
    counts = torch.tensor([[len(of_image)] for of_image in boxes], device=padded.device)  # (B, 1)
    return Boxes(padded, torch.arange(padded.shape[1], device=padded.device) < counts)
