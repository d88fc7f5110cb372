"""From images of any size to one batch, and back."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.data.boxes import Size, Target

DIVISOR = 32  # of a batch's height and width: the stride of the backbone's coarsest map


def to_batch(
    images: Sequence[Tensor],
    min_size: int,
    max_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    pad_to: Size = (0, 0),
) -> tuple[Tensor, list[Size]]:
    """Resize and normalize images, and pad them to one size.

    Args:
        images: (3, H, W) float in 0 to 1.
        min_size: pixels, see `resized_size`.
        max_size: pixels, see `resized_size`.
        mean: mean of red, green and blue.
        std: standard deviation of red, green and blue.
        pad_to: the smallest (height, width) of the batch, in pixels.

    Returns:
        The batch, (B, 3, H, W) of the images' dtype, in channels-last memory, padded with zeros on the right and at the
        bottom, with H and W multiples of DIVISOR; and the size of each image in it.
    """
    center, spread = (images[0].new_tensor(values).view(3, 1, 1) for values in (mean, std))
    resized = [(resize_image(image, min_size, max_size) - center) / spread for image in images]
    sizes = [size_of(image) for image in resized]
    height, width = (padded_side(max(sides)) for sides in zip(*sizes, pad_to, strict=True))
    batch = resized[0].new_empty(len(images), 3, height, width)
    batch = batch.contiguous(memory_format=torch.channels_last).zero_()
    for padded, image in zip(batch, resized, strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def padded_side(side: int) -> int:
    """Round a height or width in pixels up to a multiple of DIVISOR, as in a padded batch."""
    return -(-side // DIVISOR) * DIVISOR


def resized_size(size: Size, min_size: int, max_size: int) -> Size:
    """Return the size of an image after resizing, as torchvision computes it.

    The scale is the smaller of min_size / short side and max_size / long side; the new sides are rounded down. Where
    both limits are equal, the long side becomes max_size, or a pixel less by rounding. The short side of a very
    elongated image would become 0, which torchvision refuses: here it is at least 1.

    Args:
        size: (height, width) in pixels.
        min_size: the short side to reach, in pixels.
        max_size: the long side not to exceed, in pixels.
    """
    scale = min(min_size / min(size), max_size / max(size))
    return max(1, math.floor(size[0] * scale)), max(1, math.floor(size[1] * scale))


def resize_image(image: Tensor, min_size: int, max_size: int) -> Tensor:
    """Resize a (3, H, W) float image to `resized_size`, bilinearly."""
    size = resized_size(size_of(image), min_size, max_size)
    if size == size_of(image):
        return image
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]


def resize_boxes(boxes: Tensor, before: Size, after: Size) -> Tensor:
    """Move boxes, (N, 4) xyxy in pixels, from an image of size `before` to the same image at size `after`."""
    if before == after:
        return boxes
    ratio = torch.tensor([after[1], after[0]] * 2) / torch.tensor([before[1], before[0]] * 2)  # float32 as torchvision
    return boxes * ratio.to(boxes)


def resize_targets(targets: Sequence[Target], images: Sequence[Tensor], sizes: Sequence[Size]) -> list[Target]:
    """Move the targets of images to the same images at these sizes."""
    return [
        {"boxes": resize_boxes(target["boxes"], size_of(image), size), "labels": target["labels"].long()}
        for target, image, size in zip(targets, images, sizes, strict=True)
    ]


def size_of(image: Tensor) -> Size:
    """Return the (height, width) of a (..., H, W) tensor."""
    return image.shape[-2], image.shape[-1]
