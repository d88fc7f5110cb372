"""A small example of matching: objects, crowds and numbered detections on an empty canvas."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from coursekit.show.colors import GREEN, VERMILION
from coursekit.show.figures import figure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MARGIN = 12  # pixels around the outermost boxes, for the numbers
LOOKS: dict[str, Any] = {
    "crowd": {"hatch": "//", "edgecolor": "#999999", "linewidth": 3},
    "object": {"edgecolor": GREEN, "linewidth": 3},
    "detection": {"edgecolor": VERMILION, "linewidth": 1.5, "linestyle": "dashed"},
}


def detections_and_objects(boxes: Floats, scores: Floats, gt_boxes: Floats, is_crowd: Bools) -> None:
    """Show objects with thick lines, crowds hatched, and detections dashed, with their numbers and scores.

    Args:
        boxes: (D, 4) xywh in pixels.
        scores: (D,).
        gt_boxes: (G, 4) xywh in pixels.
        is_crowd: (G,).
    """
    figure(*detections_and_objects_picture(boxes, scores, gt_boxes, is_crowd))


def detections_and_objects_picture(
    boxes: Floats, scores: Floats, gt_boxes: Floats, is_crowd: Bools
) -> tuple[Figure, str]:
    """Draw what `detections_and_objects` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(8.4, 3.8), layout="constrained")
    axes = fig.subplots()
    kinds = ["crowd" if crowd else "object" for crowd in is_crowd] + ["detection"] * len(boxes)
    every = np.vstack([gt_boxes, boxes])
    for (x, y, w, h), kind in zip(every, kinds, strict=True):
        label = None if kind in axes.get_legend_handles_labels()[1] else kind
        axes.add_patch(Rectangle((x, y), w, h, fill=False, label=label, **LOOKS[kind]))
    for number, ((x, y, w, h), score) in enumerate(zip(boxes, scores, strict=True)):
        below = number % 2 == 0  # so that the numbers of two boxes in one place don't cover each other
        edge, side = (y + h + 1, "top") if below else (y - 1, "bottom")
        axes.text(x + w / 2, edge, f"{number}: {score:.2f}", ha="center", va=side, fontsize=8)
    (left, top), (right, bottom) = every[:, :2].min(0), (every[:, :2] + every[:, 2:]).max(0)
    axes.set(xlim=(left - MARGIN, right + MARGIN), ylim=(bottom + MARGIN, top - MARGIN), aspect="equal")
    axes.set(xlabel="x in pixels", ylabel="y in pixels")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False, fontsize=8)
    places = "; ".join(f"{n} from x {x:.0f} to {x + w:.0f}" for n, (x, _, w, _) in enumerate(boxes))
    objects, crowds = int((~is_crowd).sum()), int(is_crowd.sum())
    return fig, f"{objects} objects, {crowds} crowd and {len(boxes)} detections: {places}."
