"""COCO's twelve numbers at the size of COCO's val split: `score` against pycocotools.

Ground truth and detections are generated from a seed: 5,000 images, 36,500 boxes, 390,000 detections, crowds. Ours:
`score` with a list of dicts in memory, on a data set that has not been evaluated yet, and on one that has been scored
before, as in a training; with the same detections as arrays; and `evaluate`, which checks them first. Theirs: `COCO`,
`loadRes` with a copy of the list, `COCOeval`. Reading the detections from a file is timed separately: ours with all
checks, as arrays and as a list, theirs with `json`, unchecked.

Both sides take turns in one process, five times. A ratio is that of runs of the same round; the median and the range
are printed, for elapsed time and for processor time. pycocotools uses one core, hotcoco all, so elapsed time is what
counts on a quiet machine; on a busy one, processor time says more.

    python benchmarks/bench_evaluation.py            # --scale 0.3 for a third of the images, boxes and detections
"""

import argparse
import contextlib
import copy
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from coursekit.data.categories import BY_SUPERCATEGORY
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation import METRICS, evaluate, read_results, score
from coursekit.evaluation.columns import columns_of
from coursekit.evaluation.results import read_columns

CROWD_EVERY = 100  # boxes
ROUNDS, AIM = 5, 100


class Sizes(NamedTuple):
    """How much to generate."""

    images: int = 5_000
    boxes: int = 36_500
    detections: int = 390_000


class Timed(NamedTuple):
    """What a function returned, its elapsed time and its processor time in seconds."""

    value: Any
    seconds: float
    busy: float


def main() -> None:
    """Measure both sides and compare."""
    parser = argparse.ArgumentParser(description="Compare `score` with pycocotools.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size, from 0 to 1")
    sizes = Sizes(*(int(parser.parse_args().scale * size) for size in Sizes()))
    with tempfile.TemporaryDirectory() as folder:
        gt_file, results_file = Path(folder) / "annotations.json", Path(folder) / "results.json"
        content, results = generate(np.random.default_rng(0), sizes)
        gt_file.write_text(json.dumps(content))
        results_file.write_text(json.dumps(results))
        print(f"{sizes.images:,} images, {sizes.boxes:,} boxes, {sizes.detections:,} detections")
        dataset = time_reading(gt_file, results_file)
    time_scoring(content, results, dataset)


def time_reading(gt_file: Path, results_file: Path) -> CocoDataset:
    """Print how long it takes to read the detections; return the data set."""
    index = CocoIndex.load(gt_file)
    dataset = CocoDataset("generated", index, np.arange(len(index)), gt_file.parent)
    ways: dict[str, Callable[[], Any]] = {
        "ours as arrays, checked": lambda: read_columns(results_file, dataset),
        "ours as a list, checked": lambda: read_results(results_file, dataset),
        "json, unchecked": lambda: json.loads(results_file.read_text()),
    }
    for name, runs in in_turn(ways).items():
        print(f"reading the detections, {name:24} {statistics.median(run.seconds for run in runs):6.2f} s")
    return dataset


def time_scoring(content: dict[str, Any], results: list[Any], dataset: CocoDataset) -> None:
    """Print how long scoring takes on both sides, and how much their numbers differ."""
    columns, copied = columns_of(results), copy.deepcopy(results)  # pycocotools writes into its list
    runs = in_turn(
        {
            "score, first": lambda: score(results, replace(dataset)),  # a new data set: its ground truth is built anew
            "score, again": lambda: score(results, dataset),
            "score of arrays, again": lambda: score(columns, dataset),
            "evaluate, again": lambda: evaluate(results, dataset),
            "pycocotools": partial(by_pycocotools, content, copied),
        }
    )
    theirs = runs["pycocotools"]
    for name, ours in runs.items():
        seconds, busy = (statistics.median(run[part] for run in ours) for part in (1, 2))
        ratios = " · ".join(f"{text_of(ratios_of(ours, theirs, part))} times" for part in (1, 2))
        print(f"{name:24} {seconds:8.3f} s, processor {busy:8.3f} s: {ratios}")
    numbers = [runs[name][0].value for name in ("score, first", "score of arrays, again", "pycocotools")]
    difference = max(abs(ours[name] - numbers[-1][name]) for ours in numbers for name in METRICS)
    print(f"AP {numbers[0]['AP']:.4f}; the twelve numbers differ by at most {difference:.1e}. The aim is {AIM} times.")
    if difference > 1e-9:
        sys.exit("The numbers differ.")


def in_turn(ways: dict[str, Callable[[], Any]]) -> dict[str, list[Timed]]:
    """Run each way in turn, several times."""
    runs: dict[str, list[Timed]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            run = timed(way)
            runs[name].append(run if not runs[name] else run._replace(value=None))
    return runs


def ratios_of(ours: list[Timed], theirs: list[Timed], part: int) -> list[float]:
    """Return how many times as fast ours is in each round, by elapsed (1) or processor time (2)."""
    return sorted(other[part] / mine[part] for mine, other in zip(ours, theirs, strict=True))


def text_of(ratios: list[float]) -> str:
    """Return the median and the range of ratios."""
    return f"{statistics.median(ratios):.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})"


def timed(function: Callable[[], Any]) -> Timed:
    """Run a function once."""
    start, busy = time.perf_counter(), time.process_time()
    value = function()
    return Timed(value, time.perf_counter() - start, time.process_time() - busy)


def by_pycocotools(content: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Return the numbers of pycocotools, from the same dicts."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = content
        ground_truth.createIndex()
        evaluator = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRICS, evaluator.stats.tolist(), strict=True))


def generate(rng: np.random.Generator, sizes: Sizes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an annotation file's content and a mediocre detector's results: many boxes several times."""
    classes = [{"id": id_, "name": name} for group in BY_SUPERCATEGORY.values() for id_, name in group.items()]
    ids = np.array([record["id"] for record in classes])
    images = np.sort(rng.integers(0, sizes.images, sizes.boxes)) + 1
    labels = np.minimum(rng.geometric(0.06, sizes.boxes) - 1, len(ids) - 1)
    lengths = np.exp(rng.normal(4, 1, (sizes.boxes, 2))).clip(4, 400)
    boxes = np.hstack([rng.random((sizes.boxes, 2)) * (640 - lengths.clip(max=600)), lengths]).round(2)
    content = {
        "images": [{"id": n + 1, "file_name": f"{n}.jpg", "width": 640, "height": 640} for n in range(sizes.images)],
        "annotations": [
            {"id": n + 1, "image_id": image, "category_id": id_, "bbox": box, "area": box[2] * box[3] * 0.7,
             "iscrowd": int(n % CROWD_EVERY == 0)}
            for n, (image, id_, box) in enumerate(
                zip(images.tolist(), ids[labels].tolist(), boxes.tolist(), strict=True)
            )
        ],
        "categories": classes,
    }  # fmt: skip
    return content, detections(rng, sizes.detections, images, ids, labels, boxes)


def detections(
    rng: np.random.Generator, count: int, images: Any, ids: Any, labels: Any, boxes: Any
) -> list[dict[str, Any]]:
    """Return noisy copies of the boxes, with higher scores for less noise; a third are of another class."""
    picked = rng.integers(0, len(boxes), count)
    noise = rng.exponential(0.25, count)
    moved = boxes[picked] + rng.normal(0, 1, (count, 4)) * noise[:, None] * np.tile(boxes[picked, 2:], 2)
    moved[:, 2:] = np.abs(moved[:, 2:]).clip(1)
    is_other = rng.random(count) < 1 / 3
    category_ids = ids[np.where(is_other, rng.integers(0, len(ids), count), labels[picked])]
    scores = np.exp(-2 * noise - rng.random(count) - is_other).astype(np.float32)
    columns = (images[picked], category_ids, moved.round(3), scores)
    names = ("image_id", "category_id", "bbox", "score")
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


if __name__ == "__main__":
    main()
