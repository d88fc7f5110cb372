"""Precision and recall: one class under a score threshold, and the curves of all classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError
from coursekit.from_scratch.average_precision import precision_recall
from coursekit.show.colors import BLUE, GREEN, ORANGE, VERMILION
from coursekit.show.explore import explore
from coursekit.show.figures import plain_text

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Curve = Callable[[Bools, int], tuple[Floats, Floats]]

MAX_CURVES = 8
_LINES = [(color, style) for style in ("solid", "dashed") for color in (BLUE, VERMILION, GREEN, "black")]
_MARKERS = "osD^vP*X"


def explore_curve(
    scores: Floats, is_tp: Bools, num_gt: int, *, precision_recall: Curve = precision_recall, title: str = ""
) -> Any:
    """Show precision and recall under a slider for the score threshold.

    Args:
        scores, is_tp: (D,) of the detections of one class, in any order, and whether each is a true positive.
        num_gt: how many objects there are, at least one.
        precision_recall: the function to use, such as your own.
        title: what the picture is about, such as the class.
    """

    def draw(score_thresh: float) -> tuple[Figure, str]:
        return curve_picture(scores, is_tp, num_gt, score_thresh, precision_recall=precision_recall, title=title)

    return explore(draw, score_thresh=(0.0, 1.0, 0.05, _middle_score(scores, is_tp)))


def _middle_score(scores: Floats, is_tp: Bools) -> float:
    """Return the threshold that keeps half of the true positives, in steps of 0.05: short trainings give low scores."""
    return float(np.floor(np.median(scores[is_tp]) / 0.05) * 0.05) if is_tp.any() else 0.5


def curve_picture(
    scores: Floats,
    is_tp: Bools,
    num_gt: int,
    threshold: float,
    *,
    precision_recall: Curve = precision_recall,
    title: str = "",
) -> tuple[Figure, str]:
    """Plot true above false positives by score, and the point of the curve that a threshold gives.

    Arguments as in `explore_curve`.

    Returns:
        The figure and its alt text.
    """
    order = np.argsort(-scores, kind="stable")
    scores, is_tp = scores[order], is_tp[order]
    precision, recall = precision_recall(is_tp, num_gt)
    fig = Figure(figsize=(9, 3.3), layout="constrained")
    left, right = fig.subplots(1, 2)
    _plot_scores(left, scores, is_tp, threshold)
    right.plot(recall, precision, color=BLUE)
    right.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="recall", ylabel="precision", title=plain_text(title))
    kept = int((scores >= threshold).sum())
    tp = int(is_tp[:kept].sum())
    counts = f"{tp} true and {kept - tp} false positives, {num_gt - tp} of {num_gt} missed"
    words = f"From a score of {threshold:.2f}: {counts}"
    if kept:
        right.plot(recall[kept - 1], precision[kept - 1], "o", color=ORANGE, markersize=10, markeredgecolor="k")
        words += f"; precision {precision[kept - 1]:.2f}, recall {recall[kept - 1]:.2f}"
    fig.suptitle(words, fontsize=9)
    return fig, f"{words}."


def _plot_scores(axes: Axes, scores: Floats, is_tp: Bools, threshold: float) -> None:
    for row, (kind, color, mark) in enumerate((("false positive", VERMILION, "x"), ("true positive", BLUE, "o"))):
        chosen = scores[is_tp == bool(row)]
        height = row + 0.6 * (0.618 * np.arange(len(chosen)) % 1 - 0.5)  # spread out, so that each can be seen
        axes.plot(chosen, height, mark, color=color, markersize=4, alpha=0.7, label=kind)
    axes.axvline(threshold, color="black", linestyle="dashed")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, 1.6), xlabel="score", title="kept: right of the line")
    axes.set_yticks([0, 1], labels=["false\npositive", "true\npositive"])


def precision_recall_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Plot a curve per class; of more than eight, the best and the worst stand out, and the others are gray.

    A line ends at the last recall that is reached.

    Args:
        curves: class → 101 precisions as from `precision_curve`; classes with -1, which have no objects, are left out.

    Raises:
        ConfigError: there is no curve to draw.
    """
    known = {name: np.asarray(values, np.float64) for name, values in curves.items() if min(values) >= 0}
    if not known:
        raise ConfigError(
            "There is no curve to draw: none of the classes is in the images. Choose classes that occur in the images."
        )
    names = sorted(known, key=lambda name: -known[name].mean())
    shown = names if len(names) <= MAX_CURVES else names[: MAX_CURVES // 2] + names[-MAX_CURVES // 2 :]
    fig = Figure(figsize=(8, 4.4), layout="constrained")
    axes = fig.subplots()
    _plot_gray(axes, [known[name] for name in names if name not in shown])
    for number, name in enumerate(shown):
        _plot_curve(axes, number, known[name], plain_text(f"{name}  {known[name].mean():.2f}"))
    axes.set(xlabel="recall: share of the objects detected", ylabel="precision: share of true positives")
    axes.set(xlim=(0, 1), ylim=(0, 1.03), title="Precision by recall at IoU 0.5")
    axes.legend(title="class, AP50", fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return fig


def _plot_gray(axes: Axes, curves: Sequence[Floats]) -> None:
    for number, curve in enumerate(curves):
        label = f"{len(curves)} more" if number == 0 else None
        axes.plot(*_until_reached(curve), color="#BBBBBB", linewidth=0.8, label=label)


def _plot_curve(axes: Axes, number: int, curve: Floats, label: str) -> None:
    color, style = _LINES[number]
    marks: Any = {"marker": _MARKERS[number], "markevery": (4 + 2 * number, 20), "markersize": 5}
    axes.plot(*_until_reached(curve), color=color, linestyle=style, linewidth=1.8, label=label, **marks)


def _until_reached(precisions: Floats) -> tuple[Floats, Floats]:
    """Return recalls and precisions up to the last recall that is reached: beyond it there is no precision."""
    reached = int((precisions > 0).sum())
    return np.linspace(0, 1, len(precisions))[:reached], precisions[:reached]
