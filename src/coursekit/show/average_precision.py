"""Average precision in two pictures: the filled curve, and one class at several IoU thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from coursekit.show.figures import figure, plain_text

Floats = NDArray[np.float64]
PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
LINES = [(BLUE, "solid"), (ORANGE, "dashed"), (VERMILION, "dotted"), (GREEN, "dashdot"), (PURPLE, (0, (5, 1)))]


def filled_curve(precision: Floats, recall: Floats, filled: Sequence[float]) -> None:
    """Show precision and recall after each detection, and the filled curve at evenly spaced recalls.

    Args:
        precision, recall: (D,).
        filled: the filled precision at recall 0 to 1; COCO has 101.
    """
    figure(*filled_curve_picture(precision, recall, filled))


def filled_curve_picture(precision: Floats, recall: Floats, filled: Sequence[float]) -> tuple[Figure, str]:
    """Draw what `filled_curve` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = fig.subplots()
    points = np.linspace(0, 1, len(filled))
    axes.plot(points, filled, "|", color=VERMILION, markersize=9, label=f"filled, at {len(filled)} recalls")
    axes.plot(recall, precision, "o-", color=BLUE, label="after each detection")
    for number, (x, y) in enumerate(zip(recall, precision, strict=True), 1):
        axes.annotate(f"{number}", (x, y), (8, -3), textcoords="offset points", color=BLUE, bbox=PAPER)
    axes.set(xlim=(-0.02, 1.05), ylim=(0, 1.08), xlabel="recall", ylabel="precision")
    axes.legend(loc="lower left")
    steps = ", ".join(f"{p:.2f} at recall {r:.2f}" for p, r in zip(precision, recall, strict=True))
    levels = ", ".join(f"{value:.2f}" for value in dict.fromkeys(filled))
    return fig, f"Precision after each detection: {steps}. The filled curve has the levels {levels}."


def curves_by_iou(curves: Mapping[float, tuple[Floats, Floats, float]], title: str) -> None:
    """Show the curves of one class at several IoU thresholds.

    Args:
        curves: IoU threshold → precision (D,), recall (D,), and AP for the legend; at most five.
        title: name of the class.
    """
    figure(*curves_by_iou_picture(curves, title))


def curves_by_iou_picture(curves: Mapping[float, tuple[Floats, Floats, float]], title: str) -> tuple[Figure, str]:
    """Draw what `curves_by_iou` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = fig.subplots()
    for (threshold, (precision, recall, ap)), (color, style) in zip(curves.items(), LINES, strict=False):
        axes.plot(recall, precision, color=color, linestyle=style, label=f"{threshold:.2f}: AP {ap:.2f}")
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.05), xlabel="recall", ylabel="precision", title=plain_text(title))
    axes.legend(title="IoU threshold", loc="upper left", bbox_to_anchor=(1, 1))
    words = ", ".join(f"AP {ap:.2f} at IoU {threshold:.2f}" for threshold, (*_, ap) in curves.items())
    return fig, f"Curves of one class, {title}: {words}."
