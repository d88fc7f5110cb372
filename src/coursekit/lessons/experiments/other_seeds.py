"""Runs that differ in their seed only, or in an option, and how far apart they score."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.evaluation import Result, compare, evaluate, predict_dataset
from coursekit.evaluation.compare import Difference
from coursekit.lessons.notebooks.short_form import quick, short_form
from coursekit.training import TrainConfig, train


def trained_further(detector: nn.Module, train_set: CocoDataset, val_set: CocoDataset, seed: int) -> list[Result]:
    """Train a copy of a detector a little further, and return what it detects. The detector stays as it is.

    Args:
        detector: where the training begins.
        train_set: its first 100 images are used once (4 in the short form).
        val_set: the images to detect in.
        seed: decides the order of the images, which are mirrored, and what is sampled in them.
    """
    model = copy.deepcopy(detector)
    config = TrainConfig(epochs=1, batch_size=4, lr=3e-4, precision="fp32", warmup_steps=5, seed=seed)
    train(model, train_set.head(quick(100, 4)), config)
    return predict_dataset(model, val_set)


def with_options(detector: Any, **options: Any) -> nn.Module:
    """Return a copy of a detector with some of its options changed; see `coursekit.detector.Options`."""
    model = copy.deepcopy(detector)
    model.options = replace(model.options, **options)
    return model


def compare_all(
    pairs: Mapping[str, tuple[list[Result], list[Result]]], dataset: CocoDataset, guess: int, draws: int = 200
) -> None:
    """Compare pairs of results: show the changes with their intervals, and print those of AP.

    Args:
        pairs: name → the results of A and of B.
        dataset: has the ground truth.
        guess: how many of the intervals of AP the reader expects to hold 0.
        draws: draws of images for each interval.
    """
    compared = {name: compare(*both, dataset, draws=draws) for name, both in pairs.items()}
    show.changes(compared)
    width = max(map(len, compared))
    print(f"{'':{width}}  AP of B − A, and its 95 % interval")
    for name, comparison in compared.items():
        ap = comparison.ap
        print(f"{name:{width}}  {ap.change:+.4f}, {ap.low:+.4f} to {ap.high:+.4f}: {_sign(ap)}")
    holding = sum(_holds_0(comparison.ap) for comparison in compared.values())
    print(f"{holding} of these {len(compared)} intervals hold 0; you said {guess}")
    print(short_form(), end="")


def _holds_0(difference: Difference) -> bool:
    return difference.low <= 0 <= difference.high


def _sign(difference: Difference) -> str:
    """Say which of two runs is better, or that their images can't tell."""
    if _holds_0(difference):
        return "these images can't tell"
    return "B is better" if difference.low > 0 else "A is better"


def compare_by_class(a: list[Result], b: list[Result], dataset: CocoDataset, most: int = 3) -> None:
    """Print AP50 of two runs, and the classes in which they differ most."""
    scores = [evaluate(results, dataset) for results in (a, b)]
    before, after = ({row.name: row.AP50 for row in each.per_class if row.AP50 >= 0} for each in scores)
    print(f"AP50 {scores[0].metrics['AP50']:.3f} and {scores[1].metrics['AP50']:.3f}, but")
    for name in sorted(before, key=lambda name: -abs(after[name] - before[name]))[:most]:
        print(f"  {name:12} {before[name]:.2f} → {after[name]:.2f}")
