"""Average precision in pictures: the area under a curve, the filled curve, and the areas of all classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation import precision_curve
from coursekit.evaluation.match_detections import ON_CROWD, match
from coursekit.evaluation.results import Result
from coursekit.from_scratch.average_precision import precision_recall
from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from coursekit.show.figures import figure, plain_text

Floats = NDArray[np.float64]
_PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
LINES = [(BLUE, "solid"), (ORANGE, "dashed"), (VERMILION, "dotted"), (GREEN, "dashdot"), (PURPLE, (0, (5, 1)))]


def ap50_area(results: list[Result], dataset: CocoDataset, name: str) -> None:
    """Show precision by recall for one class at IoU 0.5, as measured and as COCO reads it, and the area below.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        name: the class.

    Raises:
        ConfigError: the data set doesn't have this class, or no object of it.
    """
    figure(*ap50_area_picture(results, dataset, name))


def ap50_area_picture(results: list[Result], dataset: CocoDataset, name: str) -> tuple[Figure, str]:
    """Draw what `ap50_area` shows. Return the figure and its alt text."""
    label = _label(dataset, name)
    interpolated = np.array(precision_curve(results, dataset, label))
    if min(interpolated) < 0:
        raise ConfigError(f"These images have no {name}, so there's no curve. Choose another class.")
    precision, recall = measured_curve(results, dataset, label)
    ap50, last = interpolated.mean(), recall.max(initial=0.0)
    fig = Figure(figsize=(6.4, 4), layout="constrained")
    axes = fig.subplots()
    line = np.linspace(0, 1, len(interpolated))
    axes.fill_between(line, interpolated, step="mid", alpha=0.25, color=BLUE, label=f"area: AP50 = {ap50:.2f}")
    axes.step(line, interpolated, where="mid", color=BLUE, linewidth=2, label="as COCO reads it")
    axes.plot(recall, precision, color="black", linestyle=":", marker=".", markersize=3, label="as measured")
    axes.set(xlim=(0, 1), xlabel=plain_text(f"recall: share of the objects ({name}) found so far"))
    axes.set(ylim=(0, 1.05), ylabel="precision: share of the boxes so far that are correct")
    axes.set_title(plain_text(f"{name}: from the highest score to the lowest"), fontsize=10)
    fig.legend(loc="outside lower center", ncols=3, fontsize=9)  # the curve can be anywhere
    return fig, f"Precision by recall for {name}: it ends at a recall of {last:.2f}; the area below is {ap50:.2f}."


def measured_curve(results: list[Result], dataset: CocoDataset, label: int) -> tuple[Floats, Floats]:
    """Return precision and recall of one class at IoU 0.5 after the first 1, 2, … D detections, (D,) each."""
    matches = match(results, dataset, [0.5])
    partners, detections = matches.partners[0], matches.detections
    rows = np.flatnonzero((detections.labels == label) & (partners != ON_CROWD))
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    return precision_recall(partners[rows] >= 0, int((matches.gt.labels == label).sum()))


def class_bars(values: Mapping[str, float], xlabel: str) -> None:
    """Show a bar per class, lowest first. A class with -1 has no ground truth, so it has no bar."""
    figure(*class_bars_picture(values, xlabel))


def class_bars_picture(values: Mapping[str, float], xlabel: str) -> tuple[Figure, str]:
    """Draw what `class_bars` shows. Return the figure and its alt text."""
    ranked = sorted(values.items(), key=lambda pair: pair[1])
    fig = Figure(figsize=(6.4, 0.25 * len(ranked) + 0.9), layout="constrained")
    axes = fig.subplots()
    axes.barh([plain_text(name) for name, _ in ranked], [max(value, 0) for _, value in ranked], color=BLUE)
    words = [f"{value:.2f}" if value >= 0 else "no ground truth here" for _, value in ranked]
    for row, ((_, value), text) in enumerate(zip(ranked, words, strict=True)):
        axes.text(max(value, 0) + 0.01, row, text, va="center", fontsize=8, bbox=_PAPER)
    known = [value for value in values.values() if value >= 0]
    axes.axvline(float(np.mean(known)) if known else 0, color=ORANGE, linestyle="--", label="mean", zorder=0)
    axes.set(xlim=(0, 1.1), xlabel=xlabel)
    axes.legend(loc="lower right", fontsize=8)
    pairs = zip(ranked, words, strict=True)
    return fig, "Bars, lowest first: " + ", ".join(f"{name} {text}" for (name, _), text in pairs) + "."


def _label(dataset: CocoDataset, name: str) -> int:
    if name not in dataset.classes:
        raise ConfigError(f"There is no class {name!r} here. Choose one of: {', '.join(dataset.classes)}.")
    return dataset.classes.index(name) + 1


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
