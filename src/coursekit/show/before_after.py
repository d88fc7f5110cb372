"""An image twice: with many boxes without names, and with what should become of them."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from coursekit.show.image_row import image_row


def before_after(image: Tensor, before: Tensor, after: Any, classes: Sequence[str], titles: tuple[str, str]) -> None:
    """Show an image with boxes without names, and beside it with named boxes. The titles say how many there are.

    Args:
        image: (3, H, W) uint8.
        before: (N, 4) xyxy in pixels.
        after: a target or a detection, with `boxes` (M, 4) xyxy and `labels` (M,) from 1.
        classes: the names of the labels from 1.
        titles: what the boxes are, such as ("proposals", "objects").
    """
    counts = len(before), len(after["boxes"])
    left, right = (f"{title} ({count})" for title, count in zip(titles, counts, strict=True))
    image_row({left: (image, before, [""] * counts[0]), right: (image, after, classes)}, "A scene twice.")
