"""Into the detector's one batch from images of any size, and back."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.errors import DataError

Size = tuple[int, int]  # height, width
Target = dict[str, Tensor]
DIVISOR = 32  # a batch's height and width: the coarsest map of the backbone has this stride


class Normalisation(Protocol):
    """What has a mean and a standard deviation of each colour: a backbone."""

    mean: Tensor
    std: Tensor


def to_batch(images: Sequence[Tensor], shortest: int, longest: int, norm: Normalisation) -> tuple[Tensor, list[Size]]:
    """Images resized, normalised, and padded to one size.

    Args:
        images: (3, H, W) float in 0 to 1.
        shortest, longest: the scale is the smaller of shortest / short side and longest / long side.
        norm: whose `mean` and `std`, (3, 1, 1), the images are normalised with.

    Returns:
        (B, 3, H, W) in channels-last memory, zero to the right and below of each image, and the images' sizes in it.
    """
    resized = [(resize_image(image, shortest, longest) - norm.mean) / norm.std for image in images]
    sizes = [size_of(image) for image in resized]
    height, width = (-(-max(sides) // DIVISOR) * DIVISOR for sides in zip(*sizes, strict=True))
    batch = resized[0].new_empty(len(images), 3, height, width)
    batch = batch.contiguous(memory_format=torch.channels_last).zero_()
    for place, image in zip(batch, resized, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def resize_image(image: Tensor, shortest: int, longest: int) -> Tensor:
    """(3, H, W) → (3, H * scale, W * scale), bilinear; see `to_batch` for the scale."""
    sides = image.shape[-2:]
    scale = min(shortest / min(sides), longest / max(sides))
    if scale == 1:
        return image
    return F.interpolate(
        image[None], scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0]


def resize_boxes(boxes: Tensor, before: Size, after: Size) -> Tensor:
    """(N, 4) xyxy in pixels of an image of size `before`, in pixels of the same image at size `after`."""
    if before == after:
        return boxes
    down, across = after[0] / before[0], after[1] / before[1]
    return boxes * boxes.new_tensor([across, down, across, down])


def resize_targets(targets: Sequence[Target], images: Sequence[Tensor], sizes: Sequence[Size]) -> list[Target]:
    """Targets of images, in the pixels of the images resized."""
    return [
        {"boxes": resize_boxes(target["boxes"], size_of(image), size), "labels": target["labels"]}
        for target, image, size in zip(targets, images, sizes, strict=True)
    ]


def size_of(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[-2], image.shape[-1]


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
