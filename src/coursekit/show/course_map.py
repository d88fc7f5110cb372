"""The map of the course: a drawing of the detector, part by part, with the numbers of the lessons."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from coursekit.show.colors import BLUE

LIGHT_BLUE, GRAY = "#CFE3F0", "#B9C7D1"
_PARTS = {  # name: (x, y, lesson, output)
    "image": (0.0, 1.0, "01", "pixels and boxes"),
    "backbone": (1.0, 1.0, "02", "feature maps"),
    "FPN": (2.0, 1.0, "03", "a pyramid"),
    "anchors": (3.0, 2.0, "04", "guesses"),
    "RPN": (4.0, 2.0, "05", "proposals"),
    "RoIAlign": (3.0, 0.0, "06", "7 × 7 patches"),
    "detector": (4.0, 0.0, "07", "classes, boxes"),
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
    ("RoIAlign", "detector"),
    ("RPN", "training"),
    ("detector", "training"),
    ("detector", "evaluation"),
]


def course_map(done: Mapping[int, tuple[int, int]] | None = None, here: int | None = None) -> Figure:
    """Draw the detector, part by part, with the lesson in which you write each part.

    Args:
        done: lesson → (number of solved exercises, number of exercises). A part whose exercises are all solved is solid
            and labeled "yours"; the others are hatched and labeled "reference".
        here: the lesson to mark as "you are here".
    """
    fig = Figure(figsize=(9.6, 3.3), layout="constrained")
    axes = fig.subplots()
    boxes = {name: _box(axes, name, done, here) for name in _PARTS}
    for start, end in _ARROWS:
        (x1, y1, *_), (x2, y2, *_) = _PARTS[start], _PARTS[end]
        ends: Any = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 2}
        axes.add_patch(
            FancyArrowPatch((x1, y1), (x2, y2), arrowstyle="-|>", mutation_scale=11, color="#555555", **ends)
        )
    axes.set(xlim=(-0.5, 5.5), ylim=(-0.5, 2.5))
    axes.set_axis_off()
    return fig


def _box(axes: Axes, name: str, done: Mapping[int, tuple[int, int]] | None, here: int | None) -> FancyBboxPatch:
    x, y, lesson, output = _PARTS[name]
    solved, exercises = (done or {}).get(int(lesson), (0, 0))
    is_yours = exercises > 0 and solved == exercises
    style: Any = {"boxstyle": "round,pad=0.02", "facecolor": "white", "edgecolor": BLUE, "linewidth": 1.6}
    style |= {"facecolor": LIGHT_BLUE} if is_yours else {}
    style |= {"hatch": "////", "edgecolor": GRAY} if done is not None and not is_yours else {}
    box = FancyBboxPatch((x - 0.36, y - 0.3), 0.72, 0.6, **style)
    axes.add_patch(box)
    paper: Any = {"facecolor": style["facecolor"], "edgecolor": "none", "pad": 1.5}
    axes.text(x, y + 0.11, f"{lesson} · {name}", ha="center", va="center", fontsize=9, weight="bold", bbox=paper)
    words = output if done is None else _whose(solved, exercises)
    axes.text(x, y - 0.14, words, ha="center", va="center", fontsize=8, bbox=paper)
    if here is not None and int(lesson) == here:
        axes.text(x, y + 0.42, "you are here ▾", ha="center", va="bottom", fontsize=8, color=BLUE, weight="bold")
    return box


def _whose(solved: int, exercises: int) -> str:
    if not solved:
        return "reference"
    return "yours" if solved == exercises else f"{solved} of {exercises} yours"
