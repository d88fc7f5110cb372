"""The map of the course: a drawing of the detector, each part with the number of its lesson."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

_PARTS = {  # name: (x, y, lesson, what it gives)
    "image": (0.0, 1.0, "01", "pixels and boxes"),
    "backbone": (1.0, 1.0, "02", "feature maps"),
    "FPN": (2.0, 1.0, "03", "a pyramid"),
    "anchors": (3.0, 2.0, "04", "guesses"),
    "RPN": (4.0, 2.0, "05", "proposals"),
    "RoIAlign": (3.0, 0.0, "06", "7 × 7 patches"),
    "box head": (4.0, 0.0, "07", "classes, boxes"),
    "training": (5.0, 1.5, "08", "weights"),
    "evaluation": (5.0, 0.5, "09", "a score"),
}
_ARROWS = [
    ("image", "backbone"),
    ("backbone", "FPN"),
    ("FPN", "anchors"),
    ("anchors", "RPN"),
    ("FPN", "RoIAlign"),
    ("RPN", "RoIAlign"),
    ("RoIAlign", "box head"),
    ("RPN", "training"),
    ("box head", "training"),
    ("box head", "evaluation"),
]


def course_map() -> Figure:
    """The detector, part by part, with the lesson in which each is written."""
    fig = Figure(figsize=(9.6, 3.3), layout="constrained")
    axes = fig.subplots()
    boxes = {name: _box(axes, name) for name in _PARTS}
    for start, end in _ARROWS:
        (x1, y1, *_), (x2, y2, *_) = _PARTS[start], _PARTS[end]
        ends: Any = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 2}
        axes.add_patch(
            FancyArrowPatch((x1, y1), (x2, y2), arrowstyle="-|>", mutation_scale=11, color="#555555", **ends)
        )
    axes.set(xlim=(-0.5, 5.5), ylim=(-0.5, 2.5))
    axes.set_axis_off()
    return fig


def _box(axes: Axes, name: str) -> FancyBboxPatch:
    x, y, lesson, gives = _PARTS[name]
    style: Any = {"boxstyle": "round,pad=0.02", "facecolor": "white", "edgecolor": "#0072B2", "linewidth": 1.6}
    box = FancyBboxPatch((x - 0.36, y - 0.3), 0.72, 0.6, **style)
    axes.add_patch(box)
    axes.text(x, y + 0.09, f"{lesson} · {name}", ha="center", va="center", fontsize=9, weight="bold")
    axes.text(x, y - 0.15, gives, ha="center", va="center", fontsize=8)
    return box
