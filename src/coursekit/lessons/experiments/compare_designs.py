"""Small detectors on cached features, trained and scored by the size of the objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from coursekit.detector import level_for_box, make_anchors
from coursekit.detector.boxes import Part
from coursekit.detector.fpn import FPN
from coursekit.detector.model import FasterRCNN
from coursekit.evaluation.coco import run_engine
from coursekit.evaluation.proposal_recall import recall_by_size
from coursekit.lessons.experiments.cached_features import CachedFeatures, detector_on, predict_on, train_on
from coursekit.lessons.experiments.side_by_side import side_by_side
from coursekit.lessons.notebooks.short_form import short_form

SIZES = ("small", "medium", "large")
EDGES = (0, 32, 96, 10_000)  # √area in pixels, as in COCO
SIDE = 320  # pixels, of the square that these sizes and those of the anchors are for
CHANNELS = 32
ANCHOR_SIZES = [[14, 24], [36, 60], [90, 140]]  # pixels, for strides 8, 16 and 32

Design = tuple[Callable[[list[int], int], nn.Module], Sequence[int], Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Scores:
    """How a detector does, by the size of the objects.

    Attributes:
        recall: of its proposals, for small, medium and large objects.
        ap50: of all objects, and of small, medium and large ones. NaN where there are none.
    """

    recall: list[float]
    ap50: list[float]


def train_and_score(
    detector: FasterRCNN, train_cached: CachedFeatures, val_cached: CachedFeatures, epochs: int, seed: int = 0
) -> Scores:
    """Train a detector in place and score it.

    Args:
        detector: from `detector_on`, for the same levels.
        train_cached, val_cached: features to train on, and to score on.
        epochs: passes over the data set.
        seed: for the order of the images and for what is sampled in them.
    """
    train_on(detector, train_cached, epochs, seed=seed)
    proposals, results = predict_on(detector, val_cached)
    precision = torch.from_numpy(run_engine(results, val_cached.dataset).precision[0, :, :, :, -1])
    by_size = precision.permute(2, 0, 1)  # all, small, medium, large; 101 recalls; classes
    ap50 = [values[values > -1].mean().item() for values in by_size]
    edges = [edge * val_cached.side / SIDE for edge in EDGES]
    return Scores(recall_by_size(proposals, val_cached.targets, edges), ap50)


def compare_designs(
    designs: Mapping[str, Design],
    train_cached: CachedFeatures,
    val_cached: CachedFeatures,
    seeds: int,
    epochs: int,
    level_for_box: Part = level_for_box,
) -> dict[str, Tensor]:
    """Train each design with several seeds, and score it by the size of the objects.

    Args:
        designs: name → (function that takes the channels of the maps and `CHANNELS` and makes the neck, levels of the
            backbone, sizes of the anchors of each level). Sizes are in pixels of a square of 320 pixels. For features
            of another square they are scaled, as is the canonical scale.
        train_cached, val_cached: features to train on, and to score on.
        seeds: how many runs of each design.
        epochs: passes over the data set.
        level_for_box: the function to use, such as your own.

    Returns:
        For each design (seeds, 2, 3): recall of 100 proposals and AP50, of small, medium and large objects. Sizes of
        objects are those in the original images.
    """
    jobs = [(design, seed) for design in designs.values() for seed in range(seeds)]
    detectors = [_with_neck(train_cached, *job, level_for_box) for job in jobs]  # one by one: see `side_by_side`

    def run(number: int) -> list[list[float]]:
        (_, levels, _), seed = jobs[number]
        scores = train_and_score(
            detectors[number], train_cached.levels(*levels), val_cached.levels(*levels), epochs, seed
        )
        return [scores.recall, scores.ap50[1:]]

    runs = torch.tensor(side_by_side(run, range(len(jobs))))
    return dict(zip(designs, runs.split(seeds), strict=True))


def _with_neck(cached: CachedFeatures, design: Design, seed: int, level_for_box: Part) -> FasterRCNN:
    make_neck, levels, sizes = design
    scale = cached.side / SIDE

    def scaled_level_for_box(boxes: Tensor, finest: int, coarsest: int, canonical_scale: float = 64) -> Tensor:
        return level_for_box(boxes, finest, coarsest, canonical_scale * scale)

    torch.manual_seed(seed)
    maps, scaled = cached.levels(*levels), [[scale * size for size in of_level] for of_level in sizes]
    neck = make_neck(maps.channels, CHANNELS)
    return detector_on(maps, neck, CHANNELS, scaled, parts={"level_for_box": scaled_level_for_box})


def print_designs(measured: Mapping[str, Tensor]) -> None:
    """Print the means over the seeds of each design, as from `compare_designs`, and how far AP50 of seeds differs."""
    groups = ("recall of 100 proposals", "AP50", "AP50: largest − smallest")
    print(f"{'':21}" + "".join(f"{group:^27}" for group in groups))
    print(f"{'mean over the seeds':21}" + 3 * ("".join(f"{size:>8}" for size in SIZES) + "   "))
    for name, runs in measured.items():
        numbers = torch.cat([runs.mean(0), (runs.amax(0) - runs.amin(0))[1:]])  # (3, 3)
        rows = ["".join(f"{value:8.2f}" for value in row) + "   " for row in numbers.tolist()]
        print(f"{name:21}" + "".join(rows))
    print(short_form(), end="")


def largest_spread(measured: Mapping[str, Tensor]) -> float:
    """Return the most by which AP50 differs between the seeds of one design, for objects of one size; NaNs apart."""
    spreads = torch.cat([runs[:, 1].amax(0) - runs[:, 1].amin(0) for runs in measured.values()])
    return spreads.nan_to_num(0).max().item()


def compare_anchor_orders(
    makers: Mapping[str, Part],
    train_cached: CachedFeatures,
    val_cached: CachedFeatures,
    epochs: int,
    guess: float | None = None,
) -> None:
    """Train and score a detector with each way to make anchors, and print a table.

    The last line is the recall of 100 large anchors drawn at random, without a network.

    Args:
        makers: name → function that makes the anchors of a level, as `make_anchors` does.
        train_cached, val_cached: features to train on, and to score on.
        epochs: passes over the data set.
        guess: the AP50 that was expected of the second way; it is printed below the table.
    """
    detectors = [_with_anchors(train_cached, make) for make in makers.values()]
    score = partial(train_and_score, train_cached=train_cached, val_cached=val_cached, epochs=epochs)
    runs = dict(zip(makers, side_by_side(score, detectors, "orders"), strict=True))
    print(f"{'':18}  AP50   recall:" + "".join(f"{size:>8}" for size in SIZES))
    for name, run in runs.items():
        print(f"{name:18} {run.ap50[0]:5.3f}          " + "".join(f"{value:8.2f}" for value in run.recall))
    raw = recall_by_size([_large_anchors()] * len(val_cached), val_cached.targets, EDGES)
    print(f"{'100 raw anchors':18}   -            " + "".join(f"{value:8.2f}" for value in raw))
    print("" if guess is None else f"Your guess for the AP50 of {list(makers)[1]!r}: {guess:g}\n", end="")
    print(short_form(), end="")


def _with_anchors(cached: CachedFeatures, make: Part) -> FasterRCNN:
    torch.manual_seed(0)
    return detector_on(cached, FPN(cached.channels, CHANNELS), CHANNELS, ANCHOR_SIZES, parts={"make_anchors": make})


def _large_anchors() -> Tensor:
    """Return 100 anchors of the coarsest level of a square of 320 pixels, chosen at random: (100, 4) xyxy."""
    anchors = make_anchors((10, 10), (32, 32), ANCHOR_SIZES[-1], (1.0,))
    return anchors[torch.randperm(len(anchors), generator=torch.Generator().manual_seed(0))[:100]]
