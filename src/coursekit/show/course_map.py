"""The map of the course: a drawing of the detector, part by part, with the numbers of the lessons."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from coursekit.show.colors import BLUE

LIGHT_BLUE, GRAY = "#CFE3F0", "#B9C7D1"
WIDTH, HEIGHT = 0.8, 0.64  # of a box; boxes are 1 apart
_PARTS = {  # lesson: (x, y, name, what comes out of it)
    0: (0, 2, "Start here", "the idea"),
    1: (0, 1, "Data loader", "pixels and boxes"),
    2: (1, 1, "Backbone", "feature maps"),
    3: (2, 1, "FPN", "a pyramid"),
    4: (3, 2, "Anchors", "first guesses"),
    5: (4, 2, "RPN", "proposals"),
    6: (3, 1, "RoI features", "7 × 7 patches"),
    7: (4, 1, "Detector", "classes, boxes"),
    8: (3, 0, "Training", "weights"),
    9: (4, 0, "Evaluation", "a score"),
    10: (5, 0, "Your detector", "a report"),
    11: (5, 1, "One stage", "classes, boxes"),
    12: (5, 2, "Ship it", "a web page"),
}
OPTIONAL = (11, 12)  # lessons whose boxes are dashed: the detector is whole without them
_ARROWS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (3, 6), (5, 6), (6, 7), (7, 8), (7, 9), (8, 9), (9, 10)]
_OPTIONAL_ARROWS = [(9, 11), (7, 12)]
_CORNERS = [(1, 8)]  # arrows that go down, then right


def course_map(done: Mapping[int, tuple[int, int]] | None = None, here: int | None = None) -> Figure:
    """Draw the detector, part by part, with the lesson in which you write each part.

    Args:
        done: lesson → (number of solved exercises, number of exercises). A part whose exercises are all solved is solid
            and labeled "yours"; the others are hatched and labeled "reference". Optional lessons have a dashed frame,
            and are labeled "optional" until something in them is solved.
        here: the lesson to mark as "you are here".
    """
    fig = Figure(figsize=(9.6, 4.0), layout="constrained")
    axes = fig.subplots()
    boxes = {lesson: _box(axes, lesson, done, here) for lesson in _PARTS}
    for start, end in [*_ARROWS, *_OPTIONAL_ARROWS]:
        _arrow(axes, boxes, start, end, "arc3")
    for start, end in _CORNERS:
        _arrow(axes, boxes, start, end, "angle,angleA=-90,angleB=180,rad=0")
    axes.set(xlim=(-0.5, 5.5), ylim=(-0.4, 2.4))
    axes.set_axis_off()
    return fig


def _arrow(axes: Axes, boxes: Mapping[int, FancyBboxPatch], start: int, end: int, path: str) -> None:
    ends: Any = {"patchA": boxes[start], "patchB": boxes[end], "shrinkA": 0, "shrinkB": 3.5, "connectionstyle": path}
    places = _PARTS[start][:2], _PARTS[end][:2]
    ends |= {"linestyle": "dashed"} if end in OPTIONAL else {}
    axes.add_patch(FancyArrowPatch(*places, arrowstyle="-|>", mutation_scale=11, color="#555555", zorder=0.5, **ends))


def _box(axes: Axes, lesson: int, done: Mapping[int, tuple[int, int]] | None, here: int | None) -> FancyBboxPatch:
    x, y, name, output = _PARTS[lesson]
    solved, exercises = (done or {}).get(lesson, (0, 0))
    is_yours, is_here = 0 < exercises == solved, lesson == here
    style: Any = {"boxstyle": "round,pad=0.02", "facecolor": "white", "edgecolor": BLUE, "linewidth": 1.6}
    style |= {"facecolor": LIGHT_BLUE} if is_yours else {}
    style |= {"hatch": "////", "edgecolor": GRAY} if done is not None and not is_yours else {}
    style |= {"linestyle": "dashed"} if lesson in OPTIONAL else {}
    box = FancyBboxPatch((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, **style)
    axes.add_patch(box)
    lines = [(f"{lesson:02} · {name}", 8.5, "bold", "black")]
    whose = _whose(solved, exercises) if solved or lesson not in OPTIONAL else "optional"
    lines += [(output if done is None else whose, 8, "normal", "black")]
    lines += [("▸ you are here", 8, "bold", BLUE)] if is_here else []
    _write(axes, x, y, lines, style["facecolor"])
    if is_here:
        frame: Any = {"boxstyle": "round,pad=0.05", "fill": False, "edgecolor": BLUE, "linewidth": 2.4}
        axes.add_patch(FancyBboxPatch((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, **frame))
    return box


def _write(axes: Axes, x: float, y: float, lines: list[tuple[str, float, str, str]], paper: str) -> None:
    """Write lines of (text, size, weight, color), one below the other, in the middle of a box."""
    for row, (text, size, weight, color) in enumerate(lines):
        height = y + 0.2 * ((len(lines) - 1) / 2 - row)
        ground: Any = {"facecolor": paper, "edgecolor": "none", "pad": 1.2}
        axes.text(x, height, text, ha="center", va="center", fontsize=size, weight=weight, color=color, bbox=ground)


def _whose(solved: int, exercises: int) -> str:
    if not solved:
        return "reference"
    return "yours" if solved == exercises else f"{solved} of {exercises} yours"
