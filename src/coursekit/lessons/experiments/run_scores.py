"""Scores and errors of a run, as lesson 10 shows them."""

from collections.abc import Sequence

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.evaluation import Result, score, split_errors
from coursekit.evaluation.intervals import intervals
from coursekit.lessons.notebooks.short_form import short_form

SHOWN = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


def print_scores(results: list[Result], dataset: CocoDataset, draws: int) -> dict[str, float]:
    """Print COCO's six precisions with their 95 % bootstrap intervals. Return all twelve numbers."""
    numbers, ranges = score(results, dataset), intervals(results, dataset, draws=draws)
    for name in SHOWN:
        low, high = ranges[name]
        known = f"{numbers[name]:6.3f}   95 % interval {low:.3f} to {high:.3f}"
        print(f"{name:10} {known if numbers[name] >= 0 else '    -1   no such object in these images'}")
    print(short_form(), end="")
    return numbers


def show_errors(results: list[Result], dataset: CocoDataset) -> str:
    """Show what each kind of error costs. Return the costliest kind; "missed" if nothing was detected."""
    if not results:
        print("Nothing was detected at all.")
        return "missed"
    report = split_errors(results, dataset)
    show.error_costs(report)
    return report.costliest


def ap_of_each(runs: Sequence[list[Result]], dataset: CocoDataset) -> list[float]:
    """Return the AP of each run."""
    return [score(results, dataset)["AP"] for results in runs]
