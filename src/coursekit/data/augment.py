"""Augmentation: boxes follow the pixels."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from coursekit.data.boxes import Target, flip_with_boxes

Augment = Callable[[Tensor, Target, np.random.Generator], tuple[Tensor, Target]]


def unchanged(image: Tensor, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Return image and target as they are: no augmentation."""
    return image, target


def mirror(image: Tensor, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Flip every other image left to right. Not with v2: its overhead takes longer than reading a small JPEG."""
    if rng.random() < 0.5:
        together = torch.cat([target["boxes"], target["crowd_boxes"]])
        image, together = flip_with_boxes(image, together)
        boxes, crowd_boxes = together.split([len(target["boxes"]), len(target["crowd_boxes"])])
        target = {**target, "boxes": boxes, "crowd_boxes": crowd_boxes}
    return image, target


def augmentation(
    *, flip: bool = True, scale: tuple[float, float] = (1.0, 1.0), color: float = 0.0, crop: bool = False
) -> Augment:
    """Compose random changes of image and boxes from torchvision's v2 transforms.

    Args:
        flip: flip every other image left to right.
        scale: resize by a random factor from this range.
        color: the largest relative change of brightness, contrast and saturation; hue changes by a quarter of that.
        crop: crop a part that keeps the center of at least one box. Boxes are clipped to it, and those whose center is
            outside are dropped (Liu et al., *SSD*, 2016, section 2.2).
    """
    steps: list[Any] = []
    if flip:
        steps.append(v2.RandomHorizontalFlip(0.5))
    if crop:
        steps.append(v2.RandomIoUCrop())
    if scale != (1.0, 1.0):
        steps.append(_RandomScale(scale))
    if color:
        steps.append(v2.ColorJitter(color, color, color, color / 4))
    transform = v2.Compose([*steps, v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(min_size=1.0)])
    return partial(apply, transform)


def apply(transform: Any, image: Tensor, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Apply a v2 transform to a sample. Its random draws depend on `rng` only, and torch's global state doesn't change.

    Args:
        transform: takes and returns a dict of tv_tensors.
        image: (3, H, W) uint8.
        target: boxes in pixels of the image. Crowd regions are transformed, too.
    """
    together = torch.cat([target["boxes"], target["crowd_boxes"]])
    crowd = torch.zeros(len(target["crowd_boxes"]), dtype=torch.int64)  # label 0 marks crowds: no object has it
    size = (image.shape[1], image.shape[2])
    boxes = tv_tensors.BoundingBoxes(together, format="XYXY", canvas_size=size)
    sample = {"image": tv_tensors.Image(image), "boxes": boxes, "labels": torch.cat([target["labels"], crowd])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        changed = transform(sample)
    single = changed["labels"] > 0
    plain = changed["boxes"].as_subclass(Tensor)
    return changed["image"].as_subclass(Tensor), {
        "boxes": plain[single],
        "labels": changed["labels"][single],
        "crowd_boxes": plain[~single],
        "image_id": target["image_id"],
    }


class _RandomScale(v2.Transform):  # type: ignore[misc]
    """Resize by a random factor."""

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, list[int]]:
        height, width = v2.query_size(flat_inputs)
        factor = float(torch.empty(1).uniform_(*self.scale))
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Tensor, params: dict[str, list[int]]) -> Tensor:
        return v2.functional.resize(inpt, params["size"], antialias=True)
