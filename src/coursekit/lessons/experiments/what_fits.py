"""What fits on a card, by image size and batch, and how fast this machine trains."""

from collections.abc import Collection, Mapping
from typing import Any

from tqdm.auto import tqdm

from coursekit.data import CocoDataset
from coursekit.detector import build_detector
from coursekit.lessons.notebooks.short_form import is_short, quick
from coursekit.memory import Constants, StepConfig, usable
from coursekit.memory.budget import verdict
from coursekit.memory.planner import BATCHES, EFFECTIVE_BATCH, SIZES, Card, PeakTable, make_plan, peaks_of
from coursekit.memory.step_config import GIB
from coursekit.training import TrainConfig, train

Peaks = dict[str, PeakTable]
# The detector that people build from timm and torchvision: batch norm as it comes, torchvision's widths, all trained.
AS_BUILT: dict[str, Any] = {"folds_norm": False, "channels": 256, "hidden": 1024, "frozen_stages": 0}
WARM_UP, TIMED = 1, 5  # steps


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


def print_plan(vram: float, num_classes: int) -> Card | None:
    """Print the memory of a training step by image size and batch, and what to start with on a card of `vram` GB.

    It takes half a minute. In the short form nothing is planned, which is printed, and None is returned.
    """
    if is_short():
        print("(The plan is left out in the short form. In full, it takes about half a minute.)")
        return None
    card = make_plan(vram, num_classes=num_classes).card
    print(f"GiB for a step, of {card.usable:.1f} that are usable; * is tight or too much\n")
    print("long side   " + "".join(f"{batch:>2} images " for batch in BATCHES))
    for size in SIZES:
        row = [candidate for candidate in card.candidates if candidate.size == size]
        marks = ["" if candidate.verdict == "fits" else "*" for candidate in row]
        cells = [f"{each.peak.total / GIB:.2f}{mark:1}" for each, mark in zip(row, marks, strict=True)]
        print(f"{size:12}" + "".join(f"{cell:>9} " for cell in cells))
    best = card.recommended
    print(f"\nto start with: long side {best.size}, {best.batch} images at a time" if best else "\nnothing fits")
    return card


def duration(seconds: float) -> str:
    """Return a length of time in words: seconds below a minute, else minutes."""
    if seconds < 1:
        return "less than a second"
    if seconds < 59.5:
        return f"{seconds:.0f} second{'s' if seconds >= 1.5 else ''}"
    return f"{seconds / 60:.1f} minutes"


def images_per_second(train_set: CocoDataset, *, batch: int, size: int, frozen_stages: int) -> float:
    """Train for a few steps, and return how many images this machine trains on in a second. The first step warms up."""
    detector = build_detector(num_classes=len(train_set.classes), size=size, frozen_stages=frozen_stages)
    config = TrainConfig(epochs=1, batch_size=batch, warmup_steps=5)
    history = train(detector, train_set.head((WARM_UP + TIMED) * batch), config)
    first, last = history[WARM_UP - 1], history[-1]
    return (last.images - first.images) / max(last.seconds - first.seconds, 1e-9)
