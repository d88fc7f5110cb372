"""The formats of boxes, targets and sizes, and boxes that follow their image when it is flipped or resized."""

from typing import NotRequired, TypedDict

import torch
from torch import Tensor
from torch.nn.functional import interpolate

# (height, width) in pixels, everywhere. Pillow's order is (width, height): convert on the line that calls Pillow.
Size = tuple[int, int]


class Target(TypedDict):
    """The ground truth of one image.

    Attributes:
        boxes: (N, 4) float32, xyxy in pixels of the image.
        labels: (N,) int64, from 1: label 0 is the background.
        crowd_boxes: (M, 4) float32, regions with many objects. They are not trained on.
        image_id: COCO's id.
    """

    boxes: Tensor
    labels: Tensor
    crowd_boxes: NotRequired[Tensor]
    image_id: NotRequired[int]


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert COCO's boxes (left, top, width, height) to two corners (left, top, right, bottom).

    Args:
        boxes: (..., 4) in pixels, any dtype.

    Returns:
        (..., 4) in pixels, same dtype, on the same device.

    >>> xywh_to_xyxy(torch.tensor([[10., 20., 30., 40.]]))
    tensor([[10., 20., 40., 60.]])
    """
    x, y, width, height = boxes.unbind(-1)
    return torch.stack([x, y, x + width, y + height], dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """Convert two corners (left, top, right, bottom) to COCO's (left, top, width, height). Undoes `xywh_to_xyxy`.

    >>> xyxy_to_xywh(torch.tensor([[10., 20., 40., 60.]]))
    tensor([[10., 20., 30., 40.]])
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)


def flip_with_boxes(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Flip an image left to right, and its boxes with it.

    Args:
        image: (C, H, W).
        boxes: (N, 4) xyxy in pixels of the image.

    Returns:
        New tensors: the image and the boxes. The new left edge comes from the old right edge, so x1 and x2 swap roles.
    """
    width = image.shape[-1]
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def resize_with_boxes(image: Tensor, boxes: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Resize an image to a given size, and its boxes with it.

    Args:
        image: (C, H, W) uint8 or float, on the CPU.
        boxes: (N, 4) xyxy in pixels of the image, float.
        size: the new (height, width). Sizes are whole numbers, so the two directions may scale by different factors.

    Returns:
        The image, (C, *size) of the same dtype, bilinear with antialiasing; and the boxes in its pixels, not rounded.

    >>> resize_with_boxes(torch.zeros(3, 100, 200), torch.tensor([[20., 10., 40., 30.]]), (50, 50))[1]
    tensor([[ 5.,  5., 10., 15.]])
    """
    y_scale, x_scale = size[0] / image.shape[1], size[1] / image.shape[2]
    resized = interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return resized, boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])


def clean_boxes(boxes: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Clip boxes to their image, and drop those that can't be used.

    A box is dropped if a coordinate is NaN or infinite, or if no part of it is in the image: zero width or height,
    swapped corners, or entirely outside. A box thinner than a pixel stays: small is not broken.

    Args:
        boxes: (N, 4) xyxy in pixels.
        size: (height, width) of the image.

    Returns:
        (K, 4) the remaining boxes, in their order; and (N,) bool, True for those that remain.

    >>> clean_boxes(torch.tensor([[-5., 10., 30., 40.], [50., 10., 50., 40.]]), (100, 200))
    (tensor([[ 0., 10., 30., 40.]]), tensor([ True, False]))
    """
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(1)
    x1, x2, y1, y2 = x1.clamp(0, width), x2.clamp(0, width), y1.clamp(0, height), y2.clamp(0, height)
    keep = boxes.isfinite().all(1) & (x2 > x1) & (y2 > y1)
    return torch.stack([x1, y1, x2, y2], dim=1)[keep], keep
