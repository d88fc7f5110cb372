"""From images of any size to one batch, and back."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.core.device import prefers_few_launches, to_device
from coursekit.data.boxes import Size, Target
from coursekit.data.padded_images import PaddedImages, padded_side


def to_batch(
    images: Sequence[Tensor],
    min_size: int,
    max_size: int,
    mean: Sequence[float] | Tensor,
    std: Sequence[float] | Tensor,
    pad_to: Size = (0, 0),
) -> tuple[Tensor, list[Size]]:
    """Resize and normalize images, and pad them to one size.

    Args:
        images: (3, H, W) float in 0 to 1; or `PaddedImages`, which are normalized together if none is resized.
        min_size: pixels, see `resized_size`.
        max_size: pixels, see `resized_size`.
        mean: mean of red, green and blue.
        std: standard deviation of red, green and blue.
        pad_to: the smallest (height, width) of the batch, in pixels.

    Returns:
        The batch, (B, 3, H, W) of the images' dtype, in channels-last memory, padded with zeros on the right and at the
        bottom, with H and W multiples of 32; and the size of each image in it.
    """
    if isinstance(images, PaddedImages):
        if all(resized_size(size, min_size, max_size) == size for size in images.sizes):
            return _normalized_canvas(images, mean, std, pad_to), images.sizes
        images = [image / 255 for image in images]
    center, spread = (_channels(values, images[0]) for values in (mean, std))
    resized = [(resize_image(image, min_size, max_size) - center) / spread for image in images]
    sizes = [size_of(image) for image in resized]
    height, width = (padded_side(max(sides)) for sides in zip(*sizes, pad_to, strict=True))
    batch = resized[0].new_empty(len(images), 3, height, width)
    batch = batch.contiguous(memory_format=torch.channels_last).zero_()
    for padded, image in zip(batch, resized, strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def _normalized_canvas(
    images: PaddedImages, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor, pad_to: Size
) -> Tensor:
    """Do for a whole batch what `to_batch` does, without resizing: the operations are as many for any batch."""
    height, width = (padded_side(max(sides)) for sides in zip(*images.sizes, pad_to, strict=True))
    canvas = images.canvas[:, :height, :width].permute(0, 3, 1, 2)  # (B, 3, H, W), in channels-last memory
    batch = canvas / 255
    batch -= _channels(mean, batch)
    batch /= _channels(std, batch)
    if batch.shape[2:] != (height, width):  # another process has larger images
        batch = F.pad(batch, (0, width - batch.shape[3], 0, height - batch.shape[2]))
    _clear_padding(batch, images.sizes)
    return batch.contiguous(memory_format=torch.channels_last)


def _clear_padding(batch: Tensor, sizes: Sequence[Size]) -> None:
    """Set (B, 3, H, W) to 0, in place, outside of images of these (height, width)."""
    if prefers_few_launches(batch.device):
        edges = to_device(torch.tensor(sizes), batch.device)  # (B, 2)
        below = torch.arange(batch.shape[2], device=batch.device) >= edges[:, :1]  # (B, H)
        right = torch.arange(batch.shape[3], device=batch.device) >= edges[:, 1:]  # (B, W)
        batch.masked_fill_(below[:, None, :, None] | right[:, None, None, :], 0)
        return
    for image, (height, width) in zip(batch, sizes, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0


def _channels(values: Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return a number for each channel as (3, 1, 1), with the dtype and device of another tensor."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).view(3, 1, 1)


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
