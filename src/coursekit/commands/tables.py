"""Tables that several commands print."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coursekit.core.errors import plain

if TYPE_CHECKING:
    from coursekit.data import CocoDataset
    from coursekit.evaluation import Result, Scores

MEANINGS = {
    "AP": "mean over IoU 0.50 to 0.95", "AP50": "a box is correct from IoU 0.50 on",
    "AP75": "a box is correct from IoU 0.75 on", "AP_small": "area under 32² pixels",
    "AP_medium": "area 32² to 96²", "AP_large": "area over 96²", "AR_1": "recall with 1 box per image",
    "AR_10": "with 10", "AR_100": "with 100", "AR_small": "recall, area under 32²", "AR_medium": "32² to 96²",
    "AR_large": "over 96²",
}  # fmt: skip
NO_GT = "no objects"


def cell(value: object) -> Text:
    """Return a name from data, or a title with one, as a table shows it: in a plain string, rich would see markup."""
    return Text(plain(str(value)))


def print_classes(scores: "Scores", results: "list[Result]", dataset: "CocoDataset") -> None:
    """Print a table with a row per class."""
    from coursekit.evaluation.error_analysis import best_thresholds

    thresholds = best_thresholds(results, dataset)
    table = Table("class", "boxes", "images", "AP", "AP50", "best threshold", "F1 there")
    for score in scores.per_class:
        best = thresholds.get(score.name)
        numbers = [NO_GT, NO_GT, "", ""] if best is None else [
            f"{score.AP:.3f}", f"{score.AP50:.3f}", f"{best.score:.2f}", f"{best.f1:.2f}"
        ]  # fmt: skip
        table.add_row(cell(score.name), f"{score.boxes:,}", f"{score.images:,}", *numbers)
    Console().print(table)


def print_metrics(metrics: dict[str, float], title: str) -> None:
    """Print COCO's numbers as a table, and the training time in a line below it."""
    table = Table(title=cell(title))
    table.add_column("number")
    table.add_column("value", justify="right")
    table.add_column("meaning")
    for name, meaning in MEANINGS.items():
        table.add_row(name, NO_GT if metrics[name] == -1 else f"{metrics[name]:.3f}", meaning)
    Console().print(table)
    if "seconds" in metrics:
        print(f"{metrics['seconds']:.0f} s of training, {metrics['images_per_second']:.1f} images per second")
