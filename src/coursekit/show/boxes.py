"""Boxes on images: detections, ground truth, and both next to each other."""

from collections.abc import Sequence
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from coursekit.show.colors import color_of
from coursekit.show.figures import plain_text


def on_image(image: Tensor) -> tuple[Figure, Axes]:
    """Return a figure that shows an image, (3, H, W) uint8, and its axes."""
    fig = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = fig.subplots()
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    return fig, axes


def outline(axes: Axes, box: Sequence[float], color: str, style: Any, text: str, width: float = 1.8) -> None:
    """Draw a box, xyxy in pixels, with a few words at its corner."""
    x1, y1, x2, y2 = box
    kind: Any = {"fill": False, "edgecolor": color, "linestyle": style, "linewidth": width}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **kind))
    if text:
        paper: Any = {"facecolor": "white", "edgecolor": color, "linewidth": 0.6, "pad": 1, "alpha": 0.85}
        axes.text(x1, y1, plain_text(text), fontsize=6, va="bottom", bbox=paper)


def draw_boxes(
    axes: Axes,
    image: Tensor,
    boxes: Tensor,
    labels: Sequence[str],
    *,
    title: str = "",
    hatched: Tensor | None = None,
    dashed: bool = False,
) -> None:
    """Draw boxes with their names on an image.

    Args:
        axes: where to draw.
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels; the first is drawn on top, so pass the most confident first.
        labels: N texts, such as "dog" or "dog 0.93"; boxes of the same class share a color.
        title: above the image.
        hatched: (M, 4) xyxy regions to mark as crowds.
        dashed: use dashed lines, so that predictions and ground truth differ in more than color.
    """
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    axes.set_title(plain_text(title), fontsize=9)
    for x1, y1, x2, y2 in [] if hatched is None else hatched.tolist():
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, hatch="//", edgecolor="white", linewidth=0.8))
    for box, text in reversed(list(zip(boxes.tolist(), labels, strict=True))):
        _draw_box(axes, box, text, (0, (3, 1.5)) if dashed else "solid", image.shape[-1])


def _draw_box(axes: Axes, box: tuple[float, float, float, float], text: str, style: Any, width: int) -> None:
    x1, y1, x2, y2 = box
    color = color_of(text)
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.6, linestyle=style)
    patch.set_path_effects([effects.withStroke(linewidth=2.8, foreground="black")])
    axes.add_patch(patch)
    _write(axes, text, color, box, width)


def _write(axes: Axes, text: str, color: str, box: tuple[float, float, float, float], width: int) -> None:
    """Write a name above its box, or below if there is no room; near the right edge it ends where the box ends."""
    x1, y1, x2, y2 = box
    y, side = (y1 - 2, "bottom") if y1 > 12 else (y2 + 2, "top")
    x, end = (x1, "left") if x1 < 0.72 * width else (x2, "right")
    paper = {"facecolor": "#222222", "edgecolor": color, "linewidth": 0.8, "boxstyle": "square,pad=0.12", "alpha": 0.85}
    axes.text(x, y, plain_text(text), color="white", fontsize=6, va=side, ha=end, bbox=paper)


def draw_ground_truth_and_predictions(
    pairs: Sequence[tuple[Tensor, Any, Any]], classes: Sequence[str], *, threshold: float = 0.5
) -> Figure:
    """Return a grid in which each image appears twice, on the left with ground truth, on the right with predictions.

    Args:
        pairs: image (3, H, W) uint8, target, detection; both with `boxes` (N, 4) xyxy and `labels` (N,), the detection
            with `scores` (N,).
        classes: name of label 1, of label 2, and so on.
        threshold: the lowest score to draw.
    """
    columns = 2 if len(pairs) > 1 else 1
    rows = -(-len(pairs) // columns)
    fig = Figure(figsize=(5.6 * columns, 2.25 * rows), layout="constrained")
    grid = np.atleast_2d(fig.subplots(rows, 2 * columns))
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (image, target, detection) in enumerate(pairs):
        left, right = grid[number // columns, 2 * (number % columns) : 2 * (number % columns) + 2]
        names = [classes[label - 1] for label in target["labels"].tolist()]
        draw_boxes(left, image, target["boxes"], names, title="ground truth", hatched=target.get("crowd_boxes"))
        _draw_predictions(right, image, detection, classes, threshold)
    return fig


def _draw_predictions(axes: Axes, image: Tensor, detection: Any, classes: Sequence[str], threshold: float) -> None:
    confident = detection["scores"] >= threshold
    scored = zip(detection["labels"][confident].tolist(), detection["scores"][confident].tolist(), strict=True)
    texts = [f"{classes[label - 1]} {score:.2f}" for label, score in scored]
    title = f"prediction, score ≥ {threshold:g}"
    draw_boxes(axes, image, detection["boxes"][confident], texts, title=title, dashed=True)
