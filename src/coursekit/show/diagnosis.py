"""Where a detector goes wrong: what each kind of error costs, which classes are confused, the worst images."""

import numpy as np
from matplotlib.figure import Figure

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation import error_analysis
from coursekit.evaluation.error_analysis import ErrorReport
from coursekit.evaluation.results import Result
from coursekit.show.errors import confusion_picture, error_bars
from coursekit.show.figures import figure
from coursekit.show.gallery import gallery


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
