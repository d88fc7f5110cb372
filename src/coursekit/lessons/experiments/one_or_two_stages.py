"""One stage against two: on the same frozen maps, with the same seeds and the same processor time. Lesson 11."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

import coursekit.show as show
from coursekit.core.config import TrainConfig
from coursekit.data import CocoDataset
from coursekit.detector.base import Detector
from coursekit.detector.boxes import xywh_to_xyxy
from coursekit.detector.fcos import FCOS, FCOSOptions, level_ranges
from coursekit.detector.resize import resize_boxes
from coursekit.evaluation import Result, compare, score, to_coco_results
from coursekit.evaluation.inference import Detection
from coursekit.lessons.experiments.cached_features import (
    CPU,
    CachedBackbone,
    CachedFeatures,
    detector_on,
    losses_on,
    set_maps,
    sizes_of,
)
from coursekit.lessons.experiments.side_by_side import side_by_side
from coursekit.lessons.notebooks.short_form import short_form
from coursekit.training.forward_backward import forward_backward, update

ANCHOR_SIZES = [[14, 24], [36, 60], [90, 140]]  # pixels, for strides 8, 16 and 32
BATCH, WARMUP_STEPS = 4, 10
TIMED_STEPS, UNTIMED_STEPS = 14, 2  # of each kind, to learn what a step takes; the first ones take longer
MOST_DRAWN = 8  # boxes of a scene
ONE_STAGE_LR, TWO_STAGES_LR = 5e-3, 1.5e-3  # peaks: for each kind, the best of a few that were tried

Make = Callable[[], Detector]


@dataclass(frozen=True)
class StageRun:
    """A detector that was trained, and how it does.

    Attributes:
        detector: on cached maps.
        images: how many images it was trained on, repeated ones included.
        results: what it detects, in COCO's format.
        metrics: COCO's numbers.
    """

    detector: Detector
    images: int
    results: list[Result]
    metrics: dict[str, float]


class Float32Backbone(CachedBackbone):
    """A stand-in for a backbone that returns cached maps, in float32 also where they are stored in half precision."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return `maps`, whatever the images."""
        return [level.float() for level in self.maps]


def one_stage_on(cached: CachedFeatures, fpn: nn.Module, head: nn.Module) -> FCOS:
    """Build a one-stage detector that runs on cached maps.

    Args:
        cached: the maps.
        fpn: maps → as many levels.
        head: such as your `OneStage`, for the channels of these levels.
    """
    options = FCOSOptions(len(cached.dataset.classes), tuple(cached.strides), level_ranges(cached.strides))
    body: Any = Float32Backbone(cached.strides)
    return FCOS(body, fpn, head, options)


def two_stages_on(cached: CachedFeatures, fpn: nn.Module, channels: int) -> Detector:
    """Build a Faster R-CNN that runs on cached maps, with two square anchors in each cell. Arguments as above."""
    detector = detector_on(cached, fpn, channels, ANCHOR_SIZES)
    body: Any = Float32Backbone(cached.strides)
    detector.backbone = body
    return detector


def train_for_the_same_time(
    makers: Mapping[str, Make], train_maps: CachedFeatures, val_maps: CachedFeatures, seconds: float, seeds: int
) -> dict[str, list[StageRun]]:
    """Train each kind of detector with each seed, all with the same processor time, and print their scores.

    Each run has one thread. Steps of each kind are timed first, and each run gets as many as fit into the time. So a
    kind sees as many images with one seed as with another, however busy the machine is.

    Args:
        makers: name → function that makes a detector on cached maps.
        train_maps, val_maps: maps to train on, and to detect in.
        seconds: of one core, for each training.
        seeds: runs of each kind.

    Returns:
        name → its runs, one for each seed.
    """
    (steps,) = side_by_side(partial(steps_in, makers=makers, cached=train_maps), [seconds], "timing of a few steps")
    jobs = [(name, seed) for seed in range(seeds) for name in makers]
    detectors = [_with_seed(makers[name], seed) for name, seed in jobs]  # one by one: see `side_by_side`

    def run(number: int) -> StageRun:
        name, seed = jobs[number]
        images = train(detectors[number], train_maps, steps[name], seed)
        results = detect_on(detectors[number], val_maps)
        return StageRun(detectors[number], images, results, score(results, val_maps.dataset))

    trained = dict(zip(jobs, side_by_side(run, range(len(jobs)), "trainings"), strict=True))
    runs = {name: [trained[name, seed] for seed in range(seeds)] for name in makers}
    _print_scores(runs)
    return runs


def _with_seed(make: Make, seed: int) -> Detector:
    torch.manual_seed(seed)
    return make()


def steps_in(seconds: float, makers: Mapping[str, Make], cached: CachedFeatures) -> dict[str, int]:
    """Return how many training steps of each kind take these seconds of one core.

    A few steps of each are timed in turns. What else the machine does slows all kinds down alike.

    Args:
        seconds: processor time.
        makers: name → function that makes a detector on cached maps.
        cached: the maps.
    """
    costs: dict[str, list[float]] = {name: [] for name in makers}
    trainings = {name: _training(_with_seed(make, 0), cached, TIMED_STEPS, 0) for name, make in makers.items()}
    for step in range(TIMED_STEPS):
        for name, training in trainings.items():
            begin = time.thread_time()  # on a CPU, all of a training with one thread runs in the calling thread
            next(training)
            costs[name] += [time.thread_time() - begin] if step >= UNTIMED_STEPS else []
    return {name: max(1, round(seconds / max(1e-3, mean(of_name)))) for name, of_name in costs.items()}


def train(detector: Detector, cached: CachedFeatures, steps: int, seed: int) -> int:
    """Train a detector in place with AdamW: a short warm-up, then a cosine.

    Returns:
        How many images it has seen, repeated ones included.
    """
    return sum(_training(detector, cached, steps, seed))


def _training(detector: Detector, cached: CachedFeatures, steps: int, seed: int) -> Iterator[int]:
    """Train a detector. Yield the number of images after each step."""
    detector.train()
    generator = torch.Generator().manual_seed(seed)
    peak = ONE_STAGE_LR if isinstance(detector, FCOS) else TWO_STAGES_LR
    optimizer = torch.optim.AdamW(detector.parameters(), lr=peak, weight_decay=1e-4, fused=True)
    for step, rows in enumerate(islice(_batches(len(cached), generator), steps)):
        cosine = (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = peak * min(1, (step + 1) / WARMUP_STEPS) * cosine
        seeds = torch.randint(2**31, (len(rows),), generator=generator).tolist()
        optimizer.zero_grad()
        forward_backward(partial(losses_on, detector, cached, rows, seeds), CPU, "fp32")
        update(optimizer, detector.parameters(), TrainConfig().clip_norm)
        yield len(rows)


def _batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield rows of batches without end, in a new order in each epoch."""
    while True:
        yield from torch.randperm(count, generator=generator).split(BATCH)


@torch.inference_mode()
def detect_on(detector: Detector, cached: CachedFeatures) -> list[Result]:
    """Return what a detector finds on cached maps, as COCO results in pixels of the original images."""
    detector.eval()
    detections: list[Detection] = []
    for rows in torch.arange(len(cached)).split(8):
        found = detector.predict(set_maps(detector, cached, rows), sizes_of(cached, rows))
        for detection, i in zip(found, rows.tolist(), strict=True):
            boxes = resize_boxes(detection["boxes"], cached.sizes[i], cached.dataset.size(i))
            detections.append({**detection, "boxes": boxes})
    return to_coco_results(detections, cached.dataset.image_ids, cached.dataset.category_ids)


def _print_scores(runs: Mapping[str, Sequence[StageRun]]) -> None:
    names = {"AP": "AP", "AP50": "AP50", "AP_small": "small", "AP_medium": "medium", "AP_large": "large"}
    width = max(map(len, runs))
    print(f"{'':{width}}  seed  images seen" + "".join(f"{name:>8}" for name in names.values()))
    for name, of_name in runs.items():
        for seed, run in enumerate(of_name):
            numbers = "".join(f"{run.metrics[key]:8.3f}" for key in names)
            print(f"{name:{width}}  {seed:4}  {run.images:11,}{numbers}")
    print(short_form(), end="")


def compare_pairs(first: Sequence[StageRun], second: Sequence[StageRun], dataset: CocoDataset, guess: float) -> None:
    """Show and print how much AP changes from the first kind to the second, for each seed, with 95 % intervals.

    Args:
        first, second: runs of both kinds, with the same seeds.
        dataset: has the ground truth.
        guess: the mean change that the reader expected.
    """
    pairs = enumerate(zip(first, second, strict=True))
    compared = {f"seed {seed}": compare(a.results, b.results, dataset) for seed, (a, b) in pairs}
    show.changes(compared)
    for name, comparison in compared.items():
        ap = comparison.ap
        print(f"{name}: AP {ap.change:+.3f}, between {ap.low:+.3f} and {ap.high:+.3f}")
    mean = sum(comparison.ap.change for comparison in compared.values()) / len(compared)
    print(f"mean: {mean:+.3f}; you expected {guess:+.3f}\n{short_form()}", end="")


def show_detections(runs: Mapping[str, StageRun], dataset: CocoDataset, scene: int, score_thresh: float = 0.3) -> None:
    """Show a scene with its ground truth, and with the best boxes that each detector finds in it.

    Args:
        runs: name → run.
        dataset: has the scene.
        scene: its position.
        score_thresh: detections with a lower score aren't drawn.
    """
    image, target = dataset[scene]
    panels: dict[str, Any] = {"ground truth": (image, target, dataset.classes)}
    for name, run in runs.items():
        found = _detections(run.results, dataset, scene, score_thresh)
        best = {key: values[:MOST_DRAWN] for key, values in found.items()}
        some = f", the best {MOST_DRAWN} drawn" if len(found["labels"]) > MOST_DRAWN else ""
        panels[f"{name}: {len(found['labels'])} boxes{some}"] = (image, best, dataset.classes)
    show.image_row(panels, f"A scene with its objects, and with detections that score {score_thresh:g} or more.")


def _detections(results: Sequence[Result], dataset: CocoDataset, scene: int, score_thresh: float) -> dict[str, Tensor]:
    """Return the detections of one image, best first: "boxes" (D, 4) xyxy, "labels" (D,) from 1."""
    own = [each for each in results if each["image_id"] == dataset.image_ids[scene] and each["score"] >= score_thresh]
    own.sort(key=lambda each: -each["score"])
    xywh = torch.tensor([list(each["bbox"]) for each in own]).reshape(-1, 4)
    labels = [dataset.category_ids.index(each["category_id"]) + 1 for each in own]
    return {"boxes": xywh_to_xyxy(xywh), "labels": torch.tensor(labels)}
