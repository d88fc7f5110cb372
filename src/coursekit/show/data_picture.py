"""A data set in one picture."""

import numpy as np
from matplotlib.figure import Figure

from coursekit.data.info import Summary
from coursekit.show.pictures import BLUE, ORANGE

MOST_CLASSES = 25


def data_picture(summaries: list[Summary]) -> Figure:
    """Boxes a class (the most frequent ones), sizes of boxes, and boxes an image; splits side by side in each."""
    fig = Figure(figsize=(12, 5), layout="constrained")
    classes, sizes, counts = fig.subplots(1, 3, width_ratios=[1.3, 1, 1])
    names = [name for name, *_ in summaries[0].classes[:MOST_CLASSES]][::-1]
    height = 0.8 / len(summaries)
    edges = np.geomspace(4, 700, 24)
    for place, (summary, colour, hatch) in enumerate(zip(summaries, (BLUE, ORANGE), ("", "//"), strict=False)):
        boxes = {name: count for name, count, _ in summary.classes}
        style = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": summary.split}
        classes.barh(np.arange(len(names)) - place * height, [boxes.get(name, 0) for name in names], height, **style)
        weight = np.full(len(summary.sides), 1 / max(1, len(summary.sides)))
        outline = {"color": colour, "label": summary.split, "linestyle": ("solid", "dashed")[place], "linewidth": 1.8}
        sizes.hist(summary.sides.clip(4, 700), edges, weights=weight, histtype="step", **outline)
        share = np.bincount(summary.boxes_per_image.clip(max=30), minlength=31) / max(1, summary.images)
        counts.plot(range(31), share, marker=("o", "s")[place], markersize=3, **outline)
    classes.set_yticks(np.arange(len(names)), names, fontsize=8)
    more = len(summaries[0].classes) - len(names)
    classes.set(xlabel="boxes", title="classes" + (f" (and {more} more)" if more > 0 else ""))
    sizes.set(xscale="log", xlabel="√(width · height) in pixels", ylabel="share of boxes", title="how large things are")
    sizes.set_xticks([5, 10, 32, 96, 320], ["5", "10", "32", "96", "320"])
    for edge in (32, 96):
        sizes.axvline(edge, color="#888888", linewidth=0.8)
    counts.set(xlabel="boxes in an image (30: or more)", ylabel="share of images", title="how full images are")
    for axes in (classes, sizes, counts):
        axes.legend(fontsize=8)
    return fig
