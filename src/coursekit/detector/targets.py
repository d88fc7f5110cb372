"""What a detector can be given: seen here, with the image and the box named, before it makes a loss NaN."""

from collections.abc import Sequence

import torch
from torch import Tensor

from coursekit.core.errors import DataError
from coursekit.data.boxes import Target


def check_images(images: Sequence[Tensor]) -> None:
    """See that each is a float CHW image.

    Raises:
        DataError: naming the first that is not.
    """
    for place, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point() or not image.numel():
            raise DataError(
                f"images[{place}] is {tuple(image.shape)} {image.dtype}: (3, H, W) of floats in 0 to 1 are expected. "
                "Divide uint8 by 255, and give three channels."
            )


def check_targets(images: Sequence[Tensor], targets: Sequence[Target] | None, num_classes: int) -> Sequence[Target]:
    """The targets, seen to be such that each box can be learned: a bad one would make a loss NaN, or spoil it silently.

    Raises:
        DataError: naming the image and the box.
    """
    if targets is None or len(targets) != len(images):
        given = "none" if targets is None else len(targets)
        raise DataError(f"{len(images)} images and {given} targets: in training each image needs its target.")
    for place, target in enumerate(targets):
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
            shapes = f"boxes {tuple(boxes.shape)}, labels {tuple(labels.shape)}"
            raise DataError(f"{_named(place, target)}: {shapes}; (N, 4) and (N,) are expected.")
        if not boxes.is_floating_point():
            raise DataError(f"{_named(place, target)}: boxes are {boxes.dtype}; floats are expected: boxes.float().")
    boxes, labels = (torch.cat([target[name] for target in targets]) for name in ("boxes", "labels"))
    sound = torch.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1) & (labels > 0) & (labels <= num_classes)
    if not sound.all():  # waits for the GPU, once a step
        _refuse(int(torch.where(~sound)[0][0]), targets, num_classes)
    return targets


def _refuse(bad: int, targets: Sequence[Target], num_classes: int) -> None:
    for place, target in enumerate(targets):
        if bad < len(target["boxes"]):
            box, label = target["boxes"][bad].tolist(), int(target["labels"][bad])
            raise DataError(
                f"{_named(place, target)}: boxes[{bad}] is {[round(side, 2) for side in box]} with label {label}: "
                f"x1 < x2, y1 < y2, all finite, and a label from 1 to {num_classes} are expected."
            )
        bad -= len(target["boxes"])


def _named(place: int, target: Target) -> str:
    image_id = target.get("image_id")
    return f"targets[{place}]" + (f" (image {int(image_id)})" if image_id is not None else "")
