"""What our detectors share: how they are called, from images to a batch and from boxes in the batch to boxes in images.

`model.FasterRCNN` and `fcos.FCOS` add the losses and the detections of a batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.device import to_device
from coursekit.data.boxes import Size, Target
from coursekit.data.padded_images import PaddedImages
from coursekit.detector.backbone import Backbone
from coursekit.detector.describe import describe
from coursekit.detector.input_checks import check_images, check_targets
from coursekit.detector.packed_targets import PackedTargets
from coursekit.detector.padded_boxes import GroundTruth, pad_targets
from coursekit.detector.resize import resize_boxes, resize_targets, size_of, to_batch

MAX_CACHED_SHAPES = 32  # of a batch, whose anchors or cells are kept


class Detector(nn.Module):
    """A detector, called like torchvision's.

    In training, images and targets → a dict of losses. In eval mode, images → for each image a dict of "boxes" (D, 4)
    xyxy in pixels of that image, "labels" (D,) int64 from 1 to K, and "scores" (D,), best first.

    Attributes:
        backbone: (B, 3, H, W) → maps, finest first.
        fpn: maps → levels, (B, C, H_i, W_i).
        options: the numbers; all detectors have num_classes, min_size and max_size.
    """

    backbone: Backbone
    fpn: nn.Module
    options: Any

    def forward(
        self,
        images: Sequence[Tensor],
        targets: Sequence[Target] | PackedTargets | None = None,
        *,
        pad_to: Size = (0, 0),
        seeds: Sequence[int] | None = None,
    ) -> Any:
        """Return losses in training, detections in eval mode; see the class.

        Args:
            images: (3, H, W) float in 0 to 1, of any sizes; or `PaddedImages`, which are uint8.
            targets: for each image, "boxes" (G, 4) float xyxy in its pixels and "labels" (G,) from 1 to K. If they are
                packed, they have been checked and have their own seeds.
            pad_to: the smallest (height, width) of the padded batch, in pixels. With it, a part of a batch is padded
                like the whole.
            seeds: one for each image. What is sampled in an image then depends on its seed alone.

        Raises:
            DataError: an image or a box can't be used; the message names it.
        """
        if not isinstance(images, PaddedImages):
            check_images(images)
        limits = self.options.min_size, self.options.max_size
        dtype = torch.get_default_dtype() if isinstance(images, PaddedImages) else images[0].dtype
        batch, sizes = to_batch(images, *limits, *self.backbone.mean_and_std(dtype), pad_to)
        if isinstance(targets, PackedTargets):
            return self.losses(batch, targets.sizes, targets.ground_truth, targets.seeds)
        if self.training:
            targets = check_targets(images, targets, self.options.num_classes)
            gt = pad_targets(resize_targets(targets, images, sizes))
            return self.losses(batch, sizes, gt, to_device(torch.tensor(seeds), batch.device) if seeds else None)
        detections = self.predict(batch, sizes)
        return [
            detection | {"boxes": resize_boxes(detection["boxes"], size, size_of(image))}
            for detection, size, image in zip(detections, sizes, images, strict=True)
        ]

    def loss_counts(self, targets: Sequence[Target], sizes: Sequence[Size]) -> list[int]:
        """Return what each image adds to the number by which the losses of its batch are divided.

        Weighted with it, the losses of micro-batches add up to those of the whole batch. Here, each image adds 1: it
        contributes the same number of samples.

        Args:
            targets: in pixels of the images.
            sizes: (height, width) of the images, before they are resized.
        """
        return [1] * len(sizes)

    def losses(
        self,
        batch: Tensor,
        sizes: Sequence[Size] | Tensor,
        targets: Sequence[Target] | GroundTruth,
        seeds: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses, scalars by name.

        Args:
            batch: (B, 3, H, W) float, normalized and padded.
            sizes: (height, width) of each image in the batch, without padding; a list, or a tensor (B, 2).
            targets: the ground truth of each image, in pixels of the batch; a list, or padded.
            seeds: (B,) int64 from 0 to 2³² − 1, see `forward`; by default they are drawn from torch's generator.
        """
        raise NotImplementedError

    def predict(self, batch: Tensor, sizes: Sequence[Size] | Tensor) -> list[dict[str, Tensor]]:
        """Return the detections of each image, in pixels of the batch. Arguments as in `losses`."""
        raise NotImplementedError

    def describe(self, size: Size | None = None) -> None:
        """Print a table of the parts, their strides, parameters and shapes, for one image of this (height, width)."""
        describe(self, size or (self.options.min_size, self.options.max_size))


def takes_padded_images(model: nn.Module) -> bool:
    """Return whether a model takes `PaddedImages` and `PackedTargets`: ours do, unless a subclass has a `forward`."""
    return isinstance(model, Detector) and type(model).forward is Detector.forward
