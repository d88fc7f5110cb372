"""Tables that several commands print."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from coursekit.data import CocoDataset
    from coursekit.evaluation import Result, Scores

MEANINGS = {
    "AP": "mean over IoU 0.50 to 0.95", "AP50": "a box is right at IoU 0.50", "AP75": "a box is right at IoU 0.75",
    "AP_small": "area under 32²", "AP_medium": "area 32² to 96²", "AP_large": "area over 96²",
    "AR_1": "recall with 1 box an image", "AR_10": "with 10", "AR_100": "with 100",
    "AR_small": "recall, area under 32²", "AR_medium": "32² to 96²", "AR_large": "over 96²",
}  # fmt: skip


def print_classes(scores: "Scores", results: "list[Result]", dataset: "CocoDataset") -> None:
    """A row for each class."""
    from coursekit.evaluation.errors import best_thresholds

    thresholds = best_thresholds(results, dataset)
    table = Table("class", "boxes", "images", "AP", "AP50", "best threshold", "F1 there")
    for one in scores.per_class:
        best = thresholds.get(one.name)
        there = ["no truth", "no truth", "", ""] if best is None else [
            f"{one.AP:.3f}", f"{one.AP50:.3f}", f"{best.score:.2f}", f"{best.f1:.2f}"
        ]  # fmt: skip
        table.add_row(one.name, f"{one.boxes:,}", f"{one.images:,}", *there)
    Console().print(table)


def print_metrics(metrics: dict[str, float], title: str) -> None:
    """COCO's numbers as a table; the rest in a line under it."""
    table = Table(title=title)
    table.add_column("number")
    table.add_column("value", justify="right")
    table.add_column("meaning")
    for name, meaning in MEANINGS.items():
        table.add_row(name, "no truth" if metrics[name] == -1 else f"{metrics[name]:.3f}", meaning)
    Console().print(table)
    if "seconds" in metrics:
        print(f"{metrics['seconds']:.0f} s of training, {metrics['images_per_second']:.1f} images a second")
