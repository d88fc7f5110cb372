"""Into the detector's one batch from images of any size, and back."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.data.boxes import Size, Target

DIVISOR = 32  # a batch's height and width: the coarsest map of the backbone has this stride


def to_batch(
    images: Sequence[Tensor],
    min_size: int,
    max_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    pad_to: Size = (0, 0),
) -> tuple[Tensor, list[Size]]:
    """Images resized, normalised, and padded to one size.

    Args:
        images: (3, H, W) float in 0 to 1.
        min_size, max_size: the scale is the smaller of min_size / short side and max_size / long side.
        mean, std: of red, green and blue.
        least: height and width that the batch has at least.

    Returns:
        (B, 3, H, W) in channels-last memory, zero to the right and below of each image, and the images' sizes in it.
    """
    center, spread = (images[0].new_tensor(numbers).view(3, 1, 1) for numbers in (mean, std))
    resized = [(resize_image(image, min_size, max_size) - center) / spread for image in images]
    sizes = [size_of(image) for image in resized]
    height, width = (-(-max(sides) // DIVISOR) * DIVISOR for sides in zip(*sizes, pad_to, strict=True))
    batch = resized[0].new_empty(len(images), 3, height, width)
    batch = batch.contiguous(memory_format=torch.channels_last).zero_()
    for place, image in zip(batch, resized, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def resize_image(image: Tensor, min_size: int, max_size: int) -> Tensor:
    """(3, H, W) → (3, H * scale, W * scale), bilinear; see `to_batch` for the scale."""
    sides = image.shape[-2:]
    scale = min(min_size / min(sides), max_size / max(sides))
    if scale == 1:
        return image
    return F.interpolate(
        image[None], scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0]


def resize_boxes(boxes: Tensor, before: Size, after: Size) -> Tensor:
    """(N, 4) xyxy in pixels of an image of size `before`, in pixels of the same image at size `after`."""
    if before == after:
        return boxes
    ratio = torch.tensor([after[1], after[0]] * 2) / torch.tensor([before[1], before[0]] * 2)  # float32, as theirs
    return boxes * ratio.to(boxes)


def resize_targets(targets: Sequence[Target], images: Sequence[Tensor], sizes: Sequence[Size]) -> list[Target]:
    """Targets of images, in the pixels of the images resized."""
    return [
        {"boxes": resize_boxes(target["boxes"], size_of(image), size), "labels": target["labels"].long()}
        for target, image, size in zip(targets, images, sizes, strict=True)
    ]


def size_of(image: Tensor) -> Size:
    """Height and width."""
    return image.shape[-2], image.shape[-1]
