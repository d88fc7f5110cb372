"""What went wrong: what each kind of error costs, which classes are confused, and the worst images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation import error_analysis
from coursekit.evaluation.error_analysis import KINDS, ErrorReport
from coursekit.evaluation.results import Result
from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from coursekit.show.figures import figure, plain_text
from coursekit.show.gallery import gallery

MAX_COUNTED = 25  # classes whose counts are written into the cells
_COLORS = dict(zip(KINDS, (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION), strict=True))
_HATCHES = dict(zip(KINDS, ("", "//", "\\\\", "xx", "..", "--"), strict=True))


def error_bars(report: ErrorReport) -> Figure:
    """Plot what each kind of error costs in AP50, the costliest on top, and how often it occurs."""
    fig = Figure(figsize=(7.5, 3.2), layout="constrained")
    axes = fig.subplots()
    kinds = sorted(report.kinds.items(), key=lambda item: item[1].cost)
    for row, (name, kind) in enumerate(kinds):
        axes.barh(row, kind.cost, 0.7, color=_COLORS[name], hatch=_HATCHES[name], edgecolor="white")
        words = f"{kind.cost:.3f}   {kind.count:,} ×"
        axes.annotate(words, (kind.cost, row), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(kinds)), [name for name, _ in kinds])
    axes.set_xlim(0, 1.35 * max(0.01, *(kind.cost for _, kind in kinds)))  # room for the numbers
    axes.set(xlabel="gain in AP50 if this kind alone were fixed", title=f"Errors by kind; AP50 is {report.ap50:.3f}")
    axes.spines[["top", "right"]].set_visible(False)
    return fig


def confusion_picture(matrix: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix, shaded by the share of each row, with the counts if there is room for them.

    The last row has no shares, because nobody can count how often there was nothing: it is shaded by its largest count.

    Args:
        matrix: (K + 1, K + 1) as from `confusion_matrix`.
        classes: K names.

    Raises:
        ConfigError: matrix and names don't fit.
    """
    size = len(classes) + 1
    if matrix.shape != (size, size):
        raise ConfigError(f"The matrix is {matrix.shape}, but {len(classes)} classes need {(size, size)}.")
    inches, font = (3.6 + 0.34 * size, 8.0) if size <= MAX_COUNTED + 1 else (3.0 + 0.15 * size, 6.0)
    fig = Figure(figsize=(inches, 0.92 * inches), layout="constrained")
    axes, shares = fig.subplots(), _shares(matrix)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    fig.colorbar(image, shrink=0.6, label="share of the row (last row: of its largest)")
    _label_axes(axes, classes, font)
    if size <= MAX_COUNTED + 1:
        _write_counts(axes, matrix, shares)
    else:
        _mark_confusions(axes, matrix, classes)
    return fig


def _label_axes(axes: Axes, classes: Sequence[str], font: float) -> None:
    count, names = len(classes), [plain_text(name) for name in classes]
    axes.set_xticks(range(count + 1), [*names, "nothing (missed)"], rotation=90, fontsize=font)
    axes.set_yticks(range(count + 1), [*names, "nothing (background)"], fontsize=font)
    axes.axhline(count - 0.5, color="black", linewidth=0.8)
    axes.axvline(count - 0.5, color="black", linewidth=0.8)
    axes.set(xlabel="prediction", ylabel="ground truth", title="Which class is detected as which")


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (K + 1, K + 1) in 0 to 1: rows divided by their sum, the last one by its largest count."""
    whole = matrix.sum(1, keepdims=True)
    whole[-1] = matrix[-1].max()
    return matrix / np.maximum(whole, 1)


def _write_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        color = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, f"{matrix[row, column]}", color=color, fontsize=7, ha="center", va="center")


def _mark_confusions(axes: Axes, matrix: NDArray[np.int64], classes: Sequence[str], count: int = 10) -> None:
    """Circle the most frequent confusions of two classes and name them, where counts would be too small to read."""
    confused = matrix[:-1, :-1] * (1 - np.eye(len(matrix) - 1, dtype=np.int64))
    for cell in np.argsort(-confused, axis=None, kind="stable")[:count].tolist():
        row, column = divmod(cell, len(confused))
        if confused[row, column]:
            axes.plot(column, row, "o", markersize=7, markerfacecolor="none", markeredgecolor=VERMILION)
            words = f"{classes[row]} → {classes[column]}: {confused[row, column]}"
            _name_cell(axes, row, column, words, to_the_right=column < 0.7 * len(confused))
    axes.set_title(f"Which class is detected as which; circled: the {count} most frequent confusions")


def _name_cell(axes: Axes, row: int, column: int, words: str, *, to_the_right: bool) -> None:
    offset, end = ((7, 0), "left") if to_the_right else ((-7, 0), "right")
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    style: Any = {"textcoords": "offset points", "fontsize": 8, "va": "center", "ha": end, "bbox": paper}
    axes.annotate(plain_text(words), (column, row), offset, **style)


def error_costs(report: ErrorReport) -> None:
    """Show what each kind of error costs in AP50."""
    figure(*error_costs_picture(report))


def error_costs_picture(report: ErrorReport) -> tuple[Figure, str]:
    """Draw what `error_costs` shows. Return the figure and its alt text."""
    costs = ", ".join(f"{kind} {error.cost:.3f}" for kind, error in report.kinds.items())
    return error_bars(report), f"What each kind of error costs in AP50: {costs}."


def confusions(results: list[Result], dataset: CocoDataset, threshold: float) -> None:
    """Show which class is detected as which, from scores of `threshold` on."""
    figure(*confusions_picture(results, dataset, threshold))


def confusions_picture(results: list[Result], dataset: CocoDataset, threshold: float) -> tuple[Figure, str]:
    """Draw what `confusions` shows. Return the figure and its alt text."""
    matrix = error_analysis.confusion_matrix(results, dataset, threshold=threshold)
    mixed = matrix[:-1, :-1] * (1 - np.eye(len(matrix) - 1, dtype=np.int64))
    row, column = np.unravel_index(mixed.argmax(), mixed.shape)
    pair = f"most often {dataset.classes[row]} as {dataset.classes[column]}, {mixed[row, column]} times"
    return confusion_picture(matrix, dataset.classes), f"Which classes are confused: {pair if mixed.any() else 'none'}."


def worst_images(results: list[Result], dataset: CocoDataset, count: int, threshold: float) -> None:
    """Show the images with the most errors, ground truth beside predictions, and print what is wrong in each."""
    images = error_analysis.worst_images(results, dataset, count, threshold=threshold) if results else []
    for image_id, reason in images:
        print(f"image {image_id}: {reason}")
    if not images:
        print("No image has an error at this threshold.")
        return
    fig = gallery(dataset, results, [image_id for image_id, _ in images], threshold=threshold, columns=1)
    figure(fig, "The worst images: " + "; ".join(reason for _, reason in images))
