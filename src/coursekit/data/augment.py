"""Augmentation: boxes go where the pixels go."""

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
    """No augmentation."""
    return image, target


def mirror(image: Tensor, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Mirror every other image left to right. By hand: v2's machinery takes longer than reading a small JPEG."""
    if rng.random() < 0.5:
        together = torch.cat([target["boxes"], target["crowd_boxes"]])
        image, together = flip_with_boxes(image, together)
        boxes, crowd_boxes = together.split([len(target["boxes"]), len(target["crowd_boxes"])])
        target = {**target, "boxes": boxes, "crowd_boxes": crowd_boxes}
    return image, target


def augmentation(
    *, flip: bool = True, scale: tuple[float, float] = (1.0, 1.0), colour: float = 0.0, crop: bool = False
) -> Augment:
    """A random change of image and boxes together, made of torchvision's v2 transforms.

    Args:
        flip: mirror every other image left to right.
        scale: resize by a factor from this range.
        colour: how far brightness, contrast and saturation may go, as a share; hue a quarter of it.
        crop: cut out a part that keeps the centre of at least one box; boxes are cut with it, and those whose centre is
            outside are left out (Liu et al., *SSD*, 2016, section 2.2).
    """
    steps: list[Any] = []
    if flip:
        steps.append(v2.RandomHorizontalFlip(0.5))
    if crop:
        steps.append(v2.RandomIoUCrop())
    if scale != (1.0, 1.0):
        steps.append(_RandomScale(scale))
    if colour:
        steps.append(v2.ColorJitter(colour, colour, colour, colour / 4))
    whole = v2.Compose([*steps, v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(min_size=1.0)])
    return partial(apply, whole)


def apply(transform: Any, image: Tensor, target: Target, rng: np.random.Generator) -> tuple[Tensor, Target]:
    """Change a sample by a v2 transform, with draws that follow from `rng` alone, and leave torch's own as they were.

    Args:
        transform: takes and gives a dict of tv_tensors.
        image: (3, H, W) uint8.
        target: with boxes in its pixels. Crowd regions are moved along.
    """
    together = torch.cat([target["boxes"], target["crowd_boxes"]])
    crowd = torch.zeros(len(target["crowd_boxes"]), dtype=torch.int64)  # label 0: nobody else has it
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
