"""Pictures of what went wrong: cost by kind, confusion, precision by recall, the worst images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import xywh_to_xyxy
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.errors import ErrorReport
from coursekit.evaluation.results import Result
from coursekit.show.pictures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, truth_beside_prediction

MOST_CURVES = 8
MOST_WRITTEN = 25  # classes whose counts are written into the cells

_LINES = [(colour, style) for style in ("solid", "dashed") for colour in (BLUE, VERMILION, GREEN, "black")]
_BARS = dict(zip(("class", "place", "both", "double", "background", "missed"),
                 zip((BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION), ("", "//", "\\\\", "xx", "..", "--"), strict=True),
                 strict=True))  # fmt: skip


def error_bars(report: ErrorReport) -> Figure:
    """What each kind of error costs in AP50, the dearest on top, with how often it happened."""
    fig = Figure(figsize=(7.5, 3.2), layout="constrained")
    axes = fig.subplots()
    kinds = sorted(report.kinds.items(), key=lambda item: item[1].cost)
    for place, (name, kind) in enumerate(kinds):
        colour, hatch = _BARS[name]
        axes.barh(place, kind.cost, 0.7, color=colour, hatch=hatch, edgecolor="white")
        axes.annotate(
            f"{kind.cost:.3f}   {kind.count:,} ×", (kind.cost, place), (5, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(kinds)), [name for name, _ in kinds])
    axes.set_xlim(0, 1.35 * max(0.01, *(kind.cost for _, kind in kinds)))  # room for the numbers
    axes.set(xlabel="AP50 that mending this kind alone would give", title=f"Errors by kind; AP50 is {report.ap50:.3f}")
    axes.spines[["top", "right"]].set_visible(False)
    return fig


def confusion_picture(matrix: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """A confusion matrix, shaded by the share of each row, with the counts where there is room for them.

    The last row has no share (nobody knows how often there was nothing), so it is shaded by its largest count.

    Args:
        matrix: (K + 1, K + 1) as from `confusion_matrix`.
        classes: K names.

    Raises:
        ConfigError: matrix and names don't fit.
    """
    size = len(classes) + 1
    if matrix.shape != (size, size):
        raise ConfigError(f"a matrix of {matrix.shape} for {len(classes)} classes: {(size, size)} is needed.")
    inches, font = (3.6 + 0.34 * size, 8.0) if size <= MOST_WRITTEN + 1 else (3.0 + 0.15 * size, 6.0)
    fig = Figure(figsize=(inches, 0.92 * inches), layout="constrained")
    axes = fig.subplots()
    shares = _shares(matrix)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(size), [*classes, "nothing (missed)"], rotation=90, fontsize=font)
    axes.set_yticks(range(size), [*classes, "nothing there"], fontsize=font)
    axes.axhline(size - 1.5, color="black", linewidth=0.8)
    axes.axvline(size - 1.5, color="black", linewidth=0.8)
    axes.set(xlabel="found as", ylabel="truth", title="Which class is found as which")
    fig.colorbar(image, shrink=0.6, label="share of the row (last row: of its largest)")
    if size <= MOST_WRITTEN + 1:
        _write_counts(axes, matrix, shares)
    else:
        _ring_confusions(axes, matrix, classes)
    return fig


def curves_picture(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Precision by recall, a line a class; of more than eight the best and the worst stand out, the others are grey.

    A line ends at the last recall that was reached.

    Args:
        curves: class → 101 precisions as from `precision_curve`; classes with -1, which are not there, are left out.

    Raises:
        ConfigError: there is no curve to draw.
    """
    known = {name: np.asarray(values, np.float64) for name, values in curves.items() if min(values) >= 0}
    if not known:
        raise ConfigError("no curve to draw: none of the classes is in the images.")
    names = sorted(known, key=lambda name: -known[name].mean())
    shown = names if len(names) <= MOST_CURVES else names[: MOST_CURVES // 2] + names[-MOST_CURVES // 2 :]
    fig = Figure(figsize=(8, 4.4), layout="constrained")
    axes = fig.subplots()
    for number, name in enumerate(name for name in names if name not in shown):
        label = f"{len(names) - len(shown)} more" if number == 0 else None
        axes.plot(*_until_reached(known[name]), color="#BBBBBB", linewidth=0.8, label=label)
    for number, (name, (colour, style)) in enumerate(zip(shown, _LINES, strict=False)):
        axes.plot(*_until_reached(known[name]), color=colour, linestyle=style, linewidth=1.8, marker="osD^vP*X"[number],
                  markevery=(4 + 2 * number, 20), markersize=5, label=f"{name}  {known[name].mean():.2f}")  # fmt: skip
    axes.set(xlabel="recall: share of the objects found", ylabel="precision: share of the boxes right")
    axes.set(xlim=(0, 1), ylim=(0, 1.03), title="Precision by recall at IoU 0.5")
    axes.legend(title="class, AP50", fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return fig


def gallery(
    dataset: CocoDataset, results: Sequence[Result], image_ids: Sequence[int], *, threshold: float = 0.5
) -> Figure:
    """Truth beside prediction for chosen images, such as those of `worst_images`.

    Args:
        dataset: has the pictures and the truth.
        results: detections in COCO's format; those in other images are passed over.
        image_ids: which images, in this order.
        threshold: the lowest score to draw.

    Raises:
        ConfigError: no image, or one that the data set hasn't.
    """
    places = {image_id: place for place, image_id in enumerate(dataset.image_ids)}
    strangers = [image_id for image_id in image_ids if image_id not in places]
    if strangers or not image_ids:
        what = f"image {strangers[0]} is not in {dataset.annotation_file}" if strangers else "no image to show"
        raise ConfigError(f"image_ids: {what}. Take ids from `dataset.image_ids`.")
    samples = [dataset[places[image_id]] for image_id in image_ids]
    found = [_detection(dataset, [one for one in results if one["image_id"] == image_id]) for image_id in image_ids]
    pairs = [(image, target, detection) for (image, target), detection in zip(samples, found, strict=True)]
    fig = truth_beside_prediction(pairs, dataset.classes, threshold=threshold)
    for axes, image_id in zip(fig.axes[::2], image_ids, strict=False):
        axes.set_title(f"image {image_id}: truth", fontsize=9)
    return fig


def _until_reached(precisions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recalls and precisions up to the last recall that was reached: beyond it there is no precision, and no line."""
    reached = int((precisions > 0).sum())
    return np.linspace(0, 1, len(precisions))[:reached], precisions[:reached]


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K + 1, K + 1) in 0 to 1: rows divided by their sum, the last one by its largest count."""
    whole = matrix.sum(1, keepdims=True)
    whole[-1] = matrix[-1].max()
    return matrix / np.maximum(whole, 1)


def _write_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, f"{matrix[row, column]}", color=colour, fontsize=7, ha="center", va="center")


def _ring_confusions(axes: Axes, matrix: NDArray[np.int64], classes: Sequence[str], count: int = 10) -> None:
    """Name the largest confusions of two classes beside their cells, where all counts would be too small to read."""
    mixed = matrix[:-1, :-1] * (1 - np.eye(len(matrix) - 1, dtype=np.int64))
    for cell in np.argsort(-mixed, axis=None, kind="stable")[:count].tolist():
        row, column = divmod(cell, len(mixed))
        if mixed[row, column]:
            axes.plot(column, row, "o", markersize=7, markerfacecolor="none", markeredgecolor=VERMILION)
            text, right = f"{classes[row]} → {classes[column]}: {mixed[row, column]}", column < 0.7 * len(mixed)
            offset, end = ((7, 0), "left") if right else ((-7, 0), "right")
            paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
            style: Any = {"textcoords": "offset points", "fontsize": 8, "va": "center", "ha": end, "bbox": paper}
            axes.annotate(text, (column, row), offset, **style)
    axes.set_title("Which class is found as which; ringed: the ten most frequent confusions")


def _detection(dataset: CocoDataset, results: Sequence[Result]) -> dict[str, Tensor]:
    """The detections of one image, as a detector gives them: boxes (N, 4) xyxy, labels (N,), scores (N,)."""
    labels = {id_: label for label, id_ in enumerate(dataset.category_ids, 1)}
    return {
        "boxes": xywh_to_xyxy(torch.tensor([one["bbox"] for one in results], dtype=torch.float32).reshape(-1, 4)),
        "labels": torch.tensor([labels[one["category_id"]] for one in results], dtype=torch.int64),
        "scores": torch.tensor([one["score"] for one in results], dtype=torch.float32),
    }
