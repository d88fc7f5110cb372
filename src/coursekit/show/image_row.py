"""Images in a row, each with its boxes and a title; an image before and after a step; and RoIs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector.boxes import clip_boxes
from coursekit.show.boxes import draw_boxes
from coursekit.show.figures import figure

# An image (3, H, W) uint8, boxes (N, 4) xyxy in pixels, and N names; or an image, its target, and the
# classes; or an image and None.
Panel = tuple[Tensor, Any, Sequence[str]]
WIDEST, HEIGHT = 11.0, 3.2  # inches
MOST = 12  # RoIs of the background that are drawn


def image_row(panels: Mapping[str, Panel], alt: str) -> None:
    """Show images in a row, each with its boxes.

    Args:
        panels: title → (image, boxes, names) or (image, target, classes). An image is (3, H, W) uint8, boxes are (N, 4)
            xyxy in pixels with N names; a target has `boxes` and `labels`, and perhaps `crowd_boxes`, drawn hatched.
            None instead of boxes: it isn't about boxes.
        alt: what the picture shows. The names of the boxes are added to it.
    """
    figure(*image_row_picture(panels, alt))


def image_row_picture(panels: Mapping[str, Panel], alt: str) -> tuple[Figure, str]:
    """Draw images in a row, equally high; see `image_row`. Return the figure and its alt text."""
    ratios = [image.shape[2] / image.shape[1] for image, *_ in panels.values()]
    height = min(HEIGHT * (1.3 if len(panels) == 1 else 1), WIDEST / sum(ratios))
    fig = Figure(figsize=(height * sum(ratios), height + 0.3), layout="constrained")
    row = fig.subplots(1, len(panels), width_ratios=ratios, squeeze=False)[0]
    words = []
    for axes, (title, (image, what, texts)) in zip(row, panels.items(), strict=True):
        boxes, names, crowds = _unpacked(what, texts)
        is_empty = what is not None and not len(boxes)
        draw_boxes(axes, image, boxes, names, title=f"{title}: no boxes" if is_empty else title, hatched=crowds)
        _stay_inside(axes, image)
        counted = f"{len(boxes)} boxes" if len(boxes) else "no boxes"
        words.append(title if what is None else f"{title}: {', '.join(filter(None, names)) or counted}")
    return fig, f"{alt} {'; '.join(words)}."


def _unpacked(what: Any, texts: Sequence[str]) -> tuple[Tensor, list[str], Tensor | None]:
    """Return the boxes of a panel, their names, and crowd regions."""
    if what is None:
        return torch.empty(0, 4), [], None
    if isinstance(what, Mapping):
        names = [texts[label - 1] for label in what["labels"].tolist()]
        return what["boxes"], names, what.get("crowd_boxes")
    return what, list(texts), None


def _stay_inside(axes: Axes, image: Tensor) -> None:
    """Cut off boxes and names at the image's edges, where they would cover the next image."""
    height, width = image.shape[1:]
    axes.set(xlim=(0, width), ylim=(height, 0))
    for text in axes.texts:
        text.set_clip_on(True)
        text.set_clip_box(axes.bbox)


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


def rois(image: Tensor, boxes: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Show an image twice: with the RoIs that have an object, and with some of the background.

    Args:
        image: (3, H, W) uint8.
        boxes: (R, 4) xyxy in pixels, the RoIs.
        labels: (R,) their labels from 1, or 0 for background.
        classes: the names of the labels from 1.
    """
    boxes = clip_boxes(boxes, (image.shape[1], image.shape[2]))  # so that no name is outside
    objects, background = boxes[labels > 0], boxes[labels == 0]
    names = [classes[label - 1] for label in labels[labels > 0].tolist()]
    drawn = background[:MOST]
    panels = {
        f"{len(objects)} RoIs with an object": (image, objects, names),
        f"{len(background)} RoIs of the background ({len(drawn)} drawn)": (image, drawn, [""] * len(drawn)),
    }
    image_row(panels, "A scene twice, with the RoIs that a sample contains.")
