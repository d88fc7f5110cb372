"""Boxes on images: detections, ground truth, and both next to each other."""

from collections.abc import Sequence
from typing import Any

import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from coursekit.show.colors import color_of
from coursekit.show.figures import plain_text
from coursekit.show.labels import NAME


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
        axes.text(x1, y1, plain_text(text), fontsize=6, va="bottom", bbox=paper, gid=NAME)


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
    axes.text(x, y, plain_text(text), color="white", fontsize=6, va=side, ha=end, bbox=paper, gid=NAME)
