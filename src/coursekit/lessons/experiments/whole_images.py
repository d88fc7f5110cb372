"""From images of any size to a batch, and the detections back into the pixels of each image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.data.boxes import Target
from coursekit.detector.model import FasterRCNN
from coursekit.detector.resize import resize_boxes, resize_targets, size_of, to_batch


def takes_images(detector_class: type) -> type:
    """Turn a detector that takes padded batches into one that takes images.

    Args:
        detector_class: a detector with `losses` and `predict` on batches, such as your `FasterRCNN`.

    Returns:
        A subclass. Called with images (3, H, W) in 0 to 1, of any size, and in training with their targets, it returns
        losses in training, else the detections of each image, in the pixels of that image. The course's own detector
        does so anyway and is returned as it is.
    """
    if issubclass(detector_class, FasterRCNN):
        return detector_class
    return type("Detector", (detector_class,), {"forward": _forward})


def _forward(self: Any, images: Sequence[Tensor], targets: Sequence[Target] = ()) -> Any:
    """Resize and pad the images. Return losses in training, else detections in the pixels of each image."""
    backbone, options = self.backbone, self.options
    batch, sizes = to_batch(images, options.min_size, options.max_size, backbone.mean, backbone.std)
    with torch.autocast(batch.device.type, enabled=False):  # plain float32 throughout
        if self.training:
            return self.losses(batch, sizes, resize_targets(targets, images, sizes))
        detections = self.predict(batch, sizes)
    return [
        detection | {"boxes": resize_boxes(detection["boxes"], size, size_of(image))}
        for detection, size, image in zip(detections, sizes, images, strict=True)
    ]
