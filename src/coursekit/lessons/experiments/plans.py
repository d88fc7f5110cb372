"""What fits on a card, and how fast this machine trains: the plan of lesson 10."""

from coursekit.data import CocoDataset
from coursekit.detector import build_detector
from coursekit.lessons.notebooks.short_form import is_short
from coursekit.memory.planner import BATCHES, SIZES, Card, make_plan
from coursekit.memory.step_config import GIB
from coursekit.training import TrainConfig, train

WARM_UP, TIMED = 1, 5  # steps


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
