"""Check a detector's inputs, before a bad box can turn a loss into NaN. Errors name the image and the box."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coursekit.core.errors import DataError
from coursekit.data.boxes import Target


def check_images(images: Sequence[Tensor]) -> None:
    """Check that each image is (3, H, W) float.

    Raises:
        DataError: naming the first image that is not.
    """
    for index, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point() or not image.numel():
            raise DataError(
                f"images[{index}] is {tuple(image.shape)} {image.dtype}; expected (3, H, W) float from 0 to 1. "
                "Divide uint8 by 255, and pass three channels."
            )


def check_targets(images: Sequence[Tensor], targets: Sequence[Target] | None, num_classes: int) -> Sequence[Target]:
    """Check that the detector can learn from each box, and return the targets.

    Args:
        images: (3, H, W) each.
        targets: one for each image.
        num_classes: K, without the background: labels are 1 … K.

    Raises:
        DataError: naming the image and the box.
    """
    if targets is None or len(targets) != len(images):
        given = "none" if targets is None else len(targets)
        raise DataError(f"{len(images)} images and {given} targets: in training, pass one target for each image.")
    for index, target in enumerate(targets):
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
            shapes = f"boxes {tuple(boxes.shape)}, labels {tuple(labels.shape)}"
            raise DataError(f"{_name(index, target)}: {shapes}; expected (N, 4) and (N,).")
        if not boxes.is_floating_point():
            raise DataError(f"{_name(index, target)}: boxes are {boxes.dtype}; expected float. Pass boxes.float().")
    boxes, labels = (torch.cat([target[name] for target in targets]) for name in ("boxes", "labels"))
    is_valid = torch.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    is_valid &= (labels > 0) & (labels <= num_classes)
    if not is_valid.all():  # waits for the GPU, once per step
        _raise_for_box(int(torch.where(~is_valid)[0][0]), targets, num_classes)
    return targets


def _raise_for_box(position: int, targets: Sequence[Target], num_classes: int) -> None:
    """Raise for the box at this position in all targets joined."""
    for index, target in enumerate(targets):
        if position < len(target["boxes"]):
            box = [round(side, 2) for side in target["boxes"][position].tolist()]
            raise DataError(
                f"{_name(index, target)}: boxes[{position}] is {box} with label {int(target['labels'][position])}; "
                f"expected x1 < x2, y1 < y2, finite numbers, and a label from 1 to {num_classes}."
            )
        position -= len(target["boxes"])


def _name(index: int, target: Target) -> str:
    image_id = target.get("image_id")
    return f"targets[{index}]" + (f" (image {int(image_id)})" if image_id is not None else "")
