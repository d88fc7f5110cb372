"""The images of a batch on one canvas each, so that the whole batch crosses to a GPU in one copy."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from coursekit.data.boxes import Size

DIVISOR = 32  # of a canvas's height and width, and of a batch's: the stride of the backbone's coarsest map
LARGEST_CANVAS = 2**26  # bytes, for all images of a batch
MOST_PADDING = 2  # times the images' own bytes


class PaddedImages(Sequence[Tensor]):
    """Images of a batch, each in the upper left corner of a canvas. As a sequence, its items are (3, H_i, W_i) uint8.

    Args:
        canvas: (B, H, W, 3) uint8; what is outside of an image has no meaning.
        sizes: (height, width) of each image.
    """

    def __init__(self, canvas: Tensor, sizes: Sequence[Size]) -> None:
        self.canvas, self.sizes = canvas, list(sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> "PaddedImages": ...
    def __getitem__(self, index: int | slice) -> "Tensor | PaddedImages":
        if isinstance(index, slice):
            return PaddedImages(self.canvas[index], self.sizes[index])
        height, width = self.sizes[index]
        return self.canvas[index, :height, :width].permute(2, 0, 1)

    def to(self, device: torch.device) -> "PaddedImages":
        """Copy the images to a device. If they are in pinned memory, Python doesn't wait for that."""
        return PaddedImages(self.canvas.to(device, non_blocking=True), self.sizes)


def canvas_size(sizes: Sequence[Size]) -> Size | None:
    """Return the (height, width) of a canvas for images of these sizes; None if it would be too large.

    If a batch has one photograph of 20 million pixels and many small images, it is better to send them one by one.
    """
    if not sizes:
        return None
    height, width = (padded_side(max(sides)) for sides in zip(*sizes, strict=True))
    total = 3 * len(sizes) * height * width
    own = sum(3 * padded_side(size[0]) * padded_side(size[1]) for size in sizes)
    return (height, width) if total <= min(LARGEST_CANVAS, MOST_PADDING * own) else None


def padded_side(side: int) -> int:
    """Round a height or width in pixels up to a multiple of DIVISOR."""
    return -(-side // DIVISOR) * DIVISOR


def pad_images(images: Sequence[Tensor]) -> Sequence[Tensor]:
    """Put (3, H_i, W_i) uint8 images on a canvas, unless they are on one, or it would be too large."""
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    size = None if isinstance(images, PaddedImages) else canvas_size(sizes)
    if size is None:
        return images
    padded = PaddedImages(images[0].new_empty(len(images), *size, 3), sizes)
    for place, image in zip(padded, images, strict=True):
        place.copy_(image)
    return padded
