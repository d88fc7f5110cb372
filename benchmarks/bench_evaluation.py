"""COCO's twelve numbers at the size of COCO's val split: `score` against pycocotools.

Ground truth and detections are generated from a seed: 5,000 images, 36,500 boxes, 390,000 detections, crowds. Ours:
`score` with a list of dicts in memory, on a data set that has not been evaluated yet, and on one that has been scored
before, as in a training. Theirs: `COCO`, `loadRes` with the same list (a copy, because it writes into it), `COCOeval`.
Reading the two files is timed separately: ours with all checks of `read_results`, theirs with `json`, unchecked.

Both run in one process, ours several times (the median counts), theirs once. The time is elapsed time; pycocotools
uses one core, hotcoco all. The processor time is printed next to it, for machines that are busy with other work.

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

CROWD_EVERY = 100  # boxes
RUNS, AIM = 5, 100


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
    """Print how long it takes to read the files; return the data set."""
    index = timed(lambda: CocoIndex.load(gt_file))
    dataset = CocoDataset("generated", index.value, np.arange(len(index.value)), gt_file.parent)
    ours = [index, timed(lambda: read_results(results_file, dataset))]
    theirs = [timed(partial(json.loads, path.read_text())) for path in (gt_file, results_file)]
    for name, mine, other in zip(("ground truth", "detections"), ours, theirs, strict=True):
        print(f"reading {name:13} ours, checked {mine.seconds:6.2f} s    json, unchecked {other.seconds:6.2f} s")
    return dataset


def time_scoring(content: dict[str, Any], results: list[Any], dataset: CocoDataset) -> None:
    """Print how long scoring takes on both sides, and how much their numbers differ."""
    first = several(lambda: score(results, replace(dataset)))  # a new data set, so its ground truth is built anew
    again = several(lambda: score(results, dataset))
    checked = several(lambda: evaluate(results, dataset))
    copied = copy.deepcopy(results)
    theirs = timed(lambda: by_pycocotools(content, copied))
    for name, run in (("score, first", first), ("score, again", again), ("evaluate, again", checked)):
        print(f"{name:16} {run.seconds:8.3f} s (processor {run.busy:.3f} s)  {theirs.seconds / run.seconds:6.1f} times")
    print(f"{'pycocotools':16} {theirs.seconds:8.3f} s (processor {theirs.busy:.3f} s)")
    difference = max(abs(first.value[name] - theirs.value[name]) for name in METRICS)
    print(f"AP {first.value['AP']:.4f}; the twelve numbers differ by at most {difference:.1e}")
    print(f"{theirs.seconds / first.seconds:.0f} times as fast (aim {AIM})")
    if difference > 1e-9:
        sys.exit("The numbers differ.")


def several(function: Callable[[], Any]) -> Timed:
    """Return the median of some runs."""
    runs = sorted((timed(function) for _ in range(RUNS)), key=lambda run: run.seconds)
    return Timed(runs[0].value, *(statistics.median(run[part] for run in runs) for part in (1, 2)))


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
