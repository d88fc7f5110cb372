"""What a training step needs besides the images, as one tensor, so that it crosses to a GPU in one copy."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coursekit.core.device import to_device
from coursekit.data.boxes import Size, Target
from coursekit.detector.padded_boxes import GroundTruth, pad_targets
from coursekit.detector.resize import resize_boxes, resized_size

COLUMNS = 4  # before the boxes: height, width, and the seed in two halves
HALF = 2**16  # of a seed: float32 holds it exactly


@dataclass(frozen=True)
class PackedTargets:
    """The targets of a batch at the size of the model's input, with the size and the seed of each image.

    Attributes:
        numbers: (B, 4 + 5 G) float: height, width, seed // 2¹⁶, seed % 2¹⁶, then G times x1, y1, x2, y2, label. What is
            missing is 0.
    """

    numbers: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, part: slice) -> "PackedTargets":
        return PackedTargets(self.numbers[part])

    def to(self, device: torch.device) -> "PackedTargets":
        """Copy them to a device, without waiting."""
        return PackedTargets(to_device(self.numbers, device))

    @property
    def sizes(self) -> Tensor:
        """Return (B, 2), the height and width of each image."""
        return self.numbers[:, :2]

    @property
    def seeds(self) -> Tensor:
        """Return (B,) int64 from 0 to 2³² − 1."""
        halves = self.numbers[:, 2:COLUMNS].long()
        return halves[:, 0] * HALF + halves[:, 1]

    @property
    def ground_truth(self) -> GroundTruth:
        """Return the padded ground truth, in pixels of the model's input."""
        boxes = self.numbers[:, COLUMNS:].unflatten(1, (-1, 5))  # (B, G, 5)
        return GroundTruth(boxes[..., :4], boxes[..., 4].long())


def pack_targets(
    targets: Sequence[Target], sizes: Sequence[Size], seeds: Sequence[int], min_size: int, max_size: int
) -> PackedTargets:
    """Pack targets on the CPU.

    Args:
        targets: in pixels of the images.
        sizes: (height, width) of the images as they are.
        seeds: from 0 to 2³² − 1, one for each image.
        min_size, max_size: what the images will be resized to, see `resized_size`.
    """
    after = [resized_size(size, min_size, max_size) for size in sizes]
    moved = [
        target | {"boxes": resize_boxes(target["boxes"], *pair)}
        for target, pair in zip(targets, zip(sizes, after, strict=True), strict=True)
    ]
    gt = pad_targets(moved)  # (B, G, 4), (B, G)
    boxes = torch.cat([gt.boxes, gt.labels[..., None].to(gt.boxes)], 2).flatten(1)  # (B, 5 G)
    halves = [divmod(seed, HALF) for seed in seeds]
    heads = torch.tensor([[*size, *half] for size, half in zip(after, halves, strict=True)]).to(boxes)
    return PackedTargets(torch.cat([heads, boxes], 1))
