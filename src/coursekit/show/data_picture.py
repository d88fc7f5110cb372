"""A data set in one picture."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coursekit.data.info import Summary
from coursekit.show.colors import BLUE, ORANGE
from coursekit.show.figures import plain_text

MAX_CLASSES = 25
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "hatch": "", "line": "solid", "marker": "o"},
    {"color": ORANGE, "hatch": "//", "line": "dashed", "marker": "s"},
)


def data_picture(summaries: list[Summary]) -> Figure:
    """Plot boxes per class (the most frequent ones), sizes of boxes, and boxes per image, for up to two splits."""
    fig = Figure(figsize=(12, 5), layout="constrained")
    classes, sizes, counts = fig.subplots(1, 3, width_ratios=[1.3, 1, 1])
    _plot_classes(classes, summaries)
    _plot_sizes(sizes, summaries)
    _plot_counts(counts, summaries)
    for axes in (classes, sizes, counts):
        axes.legend(fontsize=8)
    return fig


def _plot_classes(axes: Axes, summaries: list[Summary]) -> None:
    names = [name for name, *_ in summaries[0].classes[:MAX_CLASSES]][::-1]
    height = 0.8 / len(summaries)
    for number, (summary, style) in enumerate(zip(summaries, _STYLES, strict=False)):
        boxes = {name: count for name, count, _ in summary.classes}
        look: Any = {"color": style["color"], "hatch": style["hatch"], "edgecolor": "white", "label": summary.split}
        axes.barh(np.arange(len(names)) - number * height, [boxes.get(name, 0) for name in names], height, **look)
    axes.set_yticks(np.arange(len(names)), [plain_text(name) for name in names], fontsize=8)
    more = len(summaries[0].classes) - len(names)
    axes.set(xlabel="boxes", title="classes" + (f" (and {more} more)" if more > 0 else ""))


def _plot_sizes(axes: Axes, summaries: list[Summary]) -> None:
    edges = np.geomspace(4, 700, 24).tolist()
    for summary, style in zip(summaries, _STYLES, strict=False):
        weights = np.full(len(summary.sides), 1 / max(1, len(summary.sides)))
        axes.hist(summary.sides.clip(4, 700), edges, weights=weights, histtype="step", **_line(summary, style))
    axes.set(xscale="log", xlabel="√(width · height) in pixels", ylabel="share of boxes", title="sizes of objects")
    axes.set_xticks([5, 10, 32, 96, 320], ["5", "10", "32", "96", "320"])
    for edge in (32, 96):
        axes.axvline(edge, color="#888888", linewidth=0.8)


def _plot_counts(axes: Axes, summaries: list[Summary]) -> None:
    for summary, style in zip(summaries, _STYLES, strict=False):
        share = np.bincount(summary.boxes_per_image.clip(max=30), minlength=31) / max(1, summary.images)
        axes.plot(range(31), share, marker=style["marker"], markersize=3, **_line(summary, style))
    axes.set(xlabel="boxes in an image (30: or more)", ylabel="share of images", title="objects per image")


def _line(summary: Summary, style: dict[str, Any]) -> Any:
    return {"color": style["color"], "label": summary.split, "linestyle": style["line"], "linewidth": 1.8}
