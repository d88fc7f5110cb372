"""Which image size fits on which card, and how many images at a time."""

from collections.abc import Collection, Mapping
from typing import Any

from tqdm.auto import tqdm

from coursekit.lessons.notebooks.short_form import is_short, quick
from coursekit.memory import Constants, StepConfig, usable
from coursekit.memory.budget import verdict
from coursekit.memory.planner import BATCHES, EFFECTIVE_BATCH, SIZES, PeakTable, peaks_of

Peaks = dict[str, PeakTable]
# The detector that people build from timm and torchvision: batch norm as it comes, torchvision's widths, all trained.
AS_BUILT: dict[str, Any] = {"folds_norm": False, "channels": 256, "hidden": 1024, "frozen_stages": 0}


def what_fits(ways: Mapping[str, StepConfig], cards: Collection[float]) -> Peaks:
    """Print, for each way to train and each card, the most images at a time for each image size.

    A way takes some ten seconds to predict. In the short form only the last one is.

    Args:
        ways: what a step is, by name; the size and batch of a config are ignored.
        cards: memory of each card, in GB.

    Returns:
        The predicted peaks of each way.
    """
    peaks = {}
    *others, last = ways
    if is_short() and others:
        print(f"({', '.join(others)}: left out in the short form)\n")
    for name, config in tqdm([(name, ways[name]) for name in (*quick(others, []), last)], "predicting", leave=False):
        peaks[name] = peaks_of(config)
        print(f"{name}\ncard    " + "".join(f"{size:>13}" for size in SIZES))
        for card in sorted(cards):
            cells = [_most(peaks[name], size, usable(card, Constants())) for size in SIZES]
            print(f"{card:3g} GB  " + "".join(f"{cell:>13}" for cell in cells))
        print()
    return peaks


def compare_guesses(peaks: Peaks, size: str, card: float, guesses: Mapping[str, int]) -> None:
    """Print, for each way to train, how many images of a size fit on a card at a time, and the reader's guess.

    Args:
        peaks: see `what_fits`.
        size: one of the image sizes, in pixels.
        card: memory of the card, in GB.
        guesses: images at a time, by way; those of other ways are ignored.
    """
    for name, table in peaks.items():
        most = _most_at_a_time(table, size, usable(card, Constants()))
        print(f"{name}: {size} px on {card:g} GB, {most} at a time; you said {guesses.get(name, '–')}")


def _most(peaks: PeakTable, size: str, budget: int) -> str:
    """Return the most images that fit at a time, and how often that makes the batch, such as "4 × 4"."""
    most = _most_at_a_time(peaks, size, budget)
    return f"{most} × {EFFECTIVE_BATCH // most}" if most else "nothing"


def _most_at_a_time(peaks: PeakTable, size: str, budget: int) -> int:
    return max((batch for batch in BATCHES if verdict(peaks[size, batch].total, budget) == "fits"), default=0)
