"""Pictures: boxes, truth beside prediction, curves. Colours are Okabe and Ito's, safe for the colour-blind."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from coursekit.core.files import new_file

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
_CYCLE = [SKY, ORANGE, GREEN, YELLOW, PURPLE, VERMILION, BLUE]


def figure(fig: Figure, alt: str) -> None:
    """Show a figure in the notebook, with a text for those who can't see it; outside a notebook, nothing."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:  # as HTML, because JupyterLab drops the alt text of a plain image
        display({"text/html": as_html(fig, alt), "text/plain": alt}, raw=True)


def as_html(fig: Figure, alt: str) -> str:
    """A figure as one `<img>` that stands alone, with its alt text."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


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
    """Boxes with their names on an image.

    Args:
        axes: where to draw.
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels; the first comes to lie on top, so give the surest first.
        labels: N texts; boxes of the same first word share a colour.
        title: above the image.
        hatched: (M, 4) xyxy regions to mark as crowds.
        dashed: dashed lines, so that prediction and truth differ in more than colour.
    """
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    for x1, y1, x2, y2 in [] if hatched is None else hatched.tolist():
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, hatch="//", edgecolor="white", linewidth=0.8))
    for (x1, y1, x2, y2), text in reversed(list(zip(boxes.tolist(), labels, strict=True))):
        colour = colour_of(text)
        style: Any = (0, (3, 1.5)) if dashed else "solid"
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.6, linestyle=style)
        box.set_path_effects([effects.withStroke(linewidth=2.8, foreground="black")])
        axes.add_patch(box)
        _write(axes, text, colour, (x1, y1, x2, y2), image.shape[-1])


def _write(axes: Axes, text: str, colour: str, box: tuple[float, float, float, float], width: int) -> None:
    """A name above its box, or below where there is no room; near the image's right edge it ends where its box ends."""
    x1, y1, x2, y2 = box
    y, side = (y1 - 2, "bottom") if y1 > 12 else (y2 + 2, "top")
    x, end = (x1, "left") if x1 < 0.72 * width else (x2, "right")
    paper = {
        "facecolor": "#222222",
        "edgecolor": colour,
        "linewidth": 0.8,
        "boxstyle": "square,pad=0.12",
        "alpha": 0.85,
    }
    axes.text(x, y, text, color="white", fontsize=6, va=side, ha=end, bbox=paper)


def truth_beside_prediction(
    pairs: Sequence[tuple[Tensor, Any, Any]], classes: Sequence[str], *, threshold: float = 0.5
) -> Figure:
    """A grid: each image twice, left with its true boxes, right with what was found above a threshold.

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
    for number, (image, target, found) in enumerate(pairs):
        left, right = grid[number // columns, 2 * (number % columns) : 2 * (number % columns) + 2]
        names = [classes[label - 1] for label in target["labels"].tolist()]
        draw_boxes(left, image, target["boxes"], names, title="truth", hatched=target.get("crowd_boxes"))
        sure = found["scores"] >= threshold
        scored = zip(found["labels"][sure].tolist(), found["scores"][sure].tolist(), strict=True)
        texts = [f"{classes[label - 1]} {score:.2f}" for label, score in scored]
        draw_boxes(right, image, found["boxes"][sure], texts, title=f"prediction, score ≥ {threshold:g}", dashed=True)
    return fig


def loss_curves(steps: Sequence[int], losses: Mapping[str, Sequence[float]], lr: Sequence[float]) -> Figure:
    """The losses of a run, smoothed, and its learning rate."""
    fig = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[2, 1])
    styles = ["solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1))]
    for (name, values), colour, style in zip(
        losses.items(), [BLUE, VERMILION, GREEN, ORANGE, PURPLE], styles, strict=False
    ):
        left.plot(steps, _smooth(values), color=colour, linestyle=style, label=name)
    left.set(xlabel="optimizer step", ylabel="loss, running mean", title="losses")
    left.legend(fontsize=8)
    right.plot(steps, lr, color=BLUE)
    right.set(xlabel="optimizer step", ylabel="learning rate", title="warm-up, then cosine")
    return fig


def save(fig: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with new_file(path) as partial:
        fig.savefig(partial, dpi=120)


def colour_of(text: str) -> str:
    """The same for the same class, whatever the score behind its name."""
    name = text.rsplit(" ", 1)[0] if text[-1:].isdigit() else text
    return _CYCLE[sum(name.encode()) % len(_CYCLE)]


def _smooth(values: Sequence[float], window: int = 9) -> list[float]:
    return [float(np.mean(values[max(0, i - window + 1) : i + 1])) for i in range(len(values))]
