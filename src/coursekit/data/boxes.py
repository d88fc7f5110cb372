"""Boxes as COCO writes them, boxes as a detector wants them, and boxes that move with their image."""

from typing import NotRequired, TypedDict

import torch
from torch import Tensor
from torch.nn.functional import interpolate

Size = tuple[int, int]  # (height, width) in pixels, everywhere; Pillow's (width, height) only where Pillow is called


class Target(TypedDict):
    """What stands in one image. Boxes are xyxy in its pixels; labels run from 1, because 0 is the background."""

    boxes: Tensor  # (N, 4) float32
    labels: Tensor  # (N,) int64
    crowd_boxes: NotRequired[Tensor]  # (M, 4) float32: regions with many objects, nothing to train on
    image_id: NotRequired[int]


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """COCO's boxes (left, top, width, height) as two corners (left, top, right, bottom).

    Args:
        boxes: (..., 4) in pixels, any dtype.

    Returns:
        (..., 4) in pixels, same dtype.

    >>> xywh_to_xyxy(torch.tensor([[10., 20., 30., 40.]]))
    tensor([[10., 20., 40., 60.]])
    """
    x, y, width, height = boxes.unbind(-1)
    return torch.stack([x, y, x + width, y + height], dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """Two corners (left, top, right, bottom) as COCO's (left, top, width, height). Shapes as in `xywh_to_xyxy`.

    >>> xyxy_to_xywh(torch.tensor([[10., 20., 40., 60.]]))
    tensor([[10., 20., 30., 40.]])
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)


def flip_with_boxes(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror an image left to right, and its boxes with it.

    Args:
        image: (C, H, W).
        boxes: (N, 4) xyxy in pixels of the image.

    Returns:
        The image and the boxes, new tensors. x1 and x2 change places: the left edge comes from the right one.
    """
    width = image.shape[-1]
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def resize_with_boxes(image: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resize an image to a given size, and its boxes with it.

    Args:
        image: (C, H, W) uint8 or float, on the CPU.
        boxes: (N, 4) xyxy in pixels of the image, float.
        size: height and width wanted. The two directions may be scaled differently: sizes are whole numbers.

    Returns:
        The image, (C, *size) of the same dtype, bilinear with antialiasing, and the boxes in pixels of it, not rounded.

    >>> resize_with_boxes(torch.zeros(3, 100, 200), torch.tensor([[20., 10., 40., 30.]]), (50, 50))[1]
    tensor([[ 5.,  5., 10., 15.]])
    """
    y_scale, x_scale = size[0] / image.shape[1], size[1] / image.shape[2]
    resized = interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return resized, boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])


def clean_boxes(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes cut at the edges of their image, without those that can't be used.

    A box is dropped if a coordinate is NaN or infinite, or if nothing of it is left in the image: no width, no height,
    corners exchanged, or beside the image. One thinner than a pixel stays: small is not broken.

    Args:
        boxes: (N, 4) xyxy in pixels.
        size: height and width of the image.

    Returns:
        The K boxes that are left, (K, 4), in their order; and (N,) bool, which those are.

    >>> clean_boxes(torch.tensor([[-5., 10., 30., 40.], [50., 10., 50., 40.]]), (100, 200))
    (tensor([[ 0., 10., 30., 40.]]), tensor([ True, False]))
    """
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(1)
    x1, x2, y1, y2 = x1.clamp(0, width), x2.clamp(0, width), y1.clamp(0, height), y2.clamp(0, height)
    keep = boxes.isfinite().all(1) & (x2 > x1) & (y2 > y1)
    return torch.stack([x1, y1, x2, y2], dim=1)[keep], keep
