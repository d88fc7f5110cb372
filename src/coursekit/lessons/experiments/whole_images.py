"""From images of any size to a batch, and the detections back into the pixels of each image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.data.boxes import Target
from coursekit.detector.model import FasterRCNN
from coursekit.detector.resize import resize_boxes, resize_targets, size_of, to_batch
from coursekit.lessons.workbook.callers import twins_at_work
from coursekit.lessons.workbook.workbook import Workbook


def takes_images(detector_class: type, workbook: Workbook) -> type:
    """Turn a detector that takes padded batches into one that takes images.

    Args:
        detector_class: a detector with `losses` and `predict` on batches, such as your `FasterRCNN`.
        workbook: where its parts come from. In place of those that are correct and have a compiled twin, such as `nms`,
            the twin runs.

    Returns:
        A subclass. Called with images (3, H, W) in 0 to 1, of any size, and in training with their targets, it returns
        losses in training, else the detections of each image, in the pixels of that image. The course's own detector
        does so anyway and is returned as it is.
    """
    if issubclass(detector_class, FasterRCNN):
        return detector_class

    def forward(self: Any, images: Sequence[Tensor], targets: Sequence[Target] = ()) -> Any:
        with twins_at_work(workbook):
            return _forward(self, images, targets)

    return type("Detector", (detector_class,), {"forward": forward})


def _forward(detector: Any, images: Sequence[Tensor], targets: Sequence[Target]) -> Any:
    """Resize and pad the images. Return losses in training, else detections in the pixels of each image."""
    backbone, options = detector.backbone, detector.options
    batch, sizes = to_batch(images, options.min_size, options.max_size, backbone.mean, backbone.std)
    with torch.autocast(batch.device.type, enabled=False):  # plain float32 throughout
        if detector.training:
            return detector.losses(batch, sizes, resize_targets(targets, images, sizes))
        detections = detector.predict(batch, sizes)
    return [
        detection | {"boxes": resize_boxes(detection["boxes"], size, size_of(image))}
        for detection, size, image in zip(detections, sizes, images, strict=True)
    ]
