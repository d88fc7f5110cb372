"""Scenes that suit a picture."""

import torch
from torch import Tensor

from coursekit.data import CocoDataset
from coursekit.data.boxes import Target

SEARCHED = 60  # images
SMALLEST = 16  # pixels: smaller objects can't be recognized in a picture


def objects_of_many_sizes(dataset: CocoDataset, count: int = 4) -> tuple[Tensor, Tensor, list[str]]:
    """Choose an image whose objects differ much in size, and some of its objects from the smallest to the largest.

    Args:
        dataset: the first 60 of its images are considered.
        count: how many objects.

    Returns:
        The image (3, H, W) uint8; the boxes (count, 4) xyxy in pixels, fewer if there are fewer objects; and the class
        of each.
    """
    image, target = max((dataset[i] for i in range(min(SEARCHED, len(dataset)))), key=lambda sample: _variety(*sample))
    order = sizes_of(target["boxes"]).argsort()
    chosen = order[torch.linspace(0, len(order) - 1, min(count, len(order))).long()]
    return image, target["boxes"][chosen], [dataset.classes[label - 1] for label in target["labels"][chosen]]


def sizes_of(boxes: Tensor) -> Tensor:
    """Return the √area of each box in pixels: (N, 4) xyxy → (N,)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()


def _variety(image: Tensor, target: Target) -> float:
    """Rate how much the sizes of an image's objects differ; -1 if it is upright, or has few or tiny objects."""
    sizes = sizes_of(target["boxes"])
    suits = image.shape[2] > image.shape[1] and len(sizes) > 3 and sizes.min() > SMALLEST
    return sizes.std().item() if suits else -1.0 + 0.01 * min(len(sizes), 4)
