"""COCO's twelve numbers at the size of COCO's val split: `score` against pycocotools.

Truth and detections are generated from a seed: 5,000 images, 36,500 boxes, 390,000 detections, with crowds. Ours:
`score` with a list of dicts in memory, on a data set that no evaluation has seen yet, and on one that has been scored
before, as in a training. Theirs: `COCO`, `loadRes` with the same list (a copy, because it writes into it), `COCOeval`.
Reading the two files is timed by itself: ours with every check of `read_results`, theirs with `json`, unchecked.

One process, so both sides see the same machine; ours runs several times and the median counts, theirs once. Elapsed
time; pycocotools uses one core, hotcoco all. The processor's time stands beside it, for machines with other work.

    python benchmarks/bench_evaluation.py
"""

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

IMAGES, BOXES, DETECTIONS, CROWD_EVERY = 5_000, 36_500, 390_000, 100
RUNS, AIM = 5, 100


class Timed(NamedTuple):
    """What a function returned, and its elapsed and its processor's seconds."""

    value: Any
    seconds: float
    busy: float


def main() -> None:
    """Measure both sides and compare."""
    with tempfile.TemporaryDirectory() as folder:
        truth_file, found_file = Path(folder) / "truth.json", Path(folder) / "found.json"
        content, results = generate(np.random.default_rng(0))
        truth_file.write_text(json.dumps(content))
        found_file.write_text(json.dumps(results))
        print(f"{IMAGES:,} images, {BOXES:,} boxes, {DETECTIONS:,} detections")
        dataset = reading(truth_file, found_file)
    scoring(content, results, dataset)


def reading(truth_file: Path, found_file: Path) -> CocoDataset:
    """Print what reading the files takes; gives the data set."""
    index = timed(lambda: CocoIndex.load(truth_file))
    dataset = CocoDataset("generated", index.value, np.arange(IMAGES), truth_file.parent)
    ours = [index, timed(lambda: read_results(found_file, dataset))]
    theirs = [timed(partial(json.loads, path.read_text())) for path in (truth_file, found_file)]
    for name, mine, other in zip(("truth", "detections"), ours, theirs, strict=True):
        print(f"reading the {name:10} ours, checked {mine.seconds:6.2f} s    json, unchecked {other.seconds:6.2f} s")
    return dataset


def scoring(content: dict[str, Any], results: list[Any], dataset: CocoDataset) -> None:
    """Print what scoring takes on both sides, and how far their numbers are apart."""
    first = several(lambda: score(results, replace(dataset)))  # a data set of its own, so its truth is built anew
    again = several(lambda: score(results, dataset))
    checked = several(lambda: evaluate(results, dataset))
    copied = copy.deepcopy(results)
    theirs = timed(lambda: by_pycocotools(content, copied))
    for name, one in (("score, first", first), ("score, again", again), ("evaluate, again", checked)):
        print(f"{name:16} {one.seconds:8.3f} s (processor {one.busy:.3f} s)  {theirs.seconds / one.seconds:6.1f} times")
    print(f"{'pycocotools':16} {theirs.seconds:8.3f} s (processor {theirs.busy:.3f} s)")
    apart = max(abs(first.value[name] - theirs.value[name]) for name in METRICS)
    print(f"AP {first.value['AP']:.4f}; the twelve numbers differ by at most {apart:.1e}")
    print(f"{theirs.seconds / first.seconds:.0f} times as fast (aim {AIM})")
    if apart > 1e-9:
        sys.exit("The sides differ.")


def several(function: Callable[[], Any]) -> Timed:
    """The median of some runs."""
    runs = sorted((timed(function) for _ in range(RUNS)), key=lambda run: run.seconds)
    return Timed(runs[0].value, *(statistics.median(run[part] for run in runs) for part in (1, 2)))


def timed(function: Callable[[], Any]) -> Timed:
    """Run it once."""
    start, busy = time.perf_counter(), time.process_time()
    value = function()
    return Timed(value, time.perf_counter() - start, time.process_time() - busy)


def by_pycocotools(content: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Their side, from the same dicts."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRICS, evaluator.stats.tolist(), strict=True))


def generate(rng: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An annotation file's content and what a middling detector finds: most boxes several times, and much beside."""
    classes = [{"id": id_, "name": name} for group in BY_SUPERCATEGORY.values() for id_, name in group.items()]
    ids = np.array([one["id"] for one in classes])
    images = np.sort(rng.integers(0, IMAGES, BOXES)) + 1
    labels = np.minimum(rng.geometric(0.06, BOXES) - 1, len(ids) - 1)
    sides = np.exp(rng.normal(4, 1, (BOXES, 2))).clip(4, 400)
    boxes = np.hstack([rng.random((BOXES, 2)) * (640 - sides.clip(max=600)), sides]).round(2)
    content = {
        "images": [{"id": n + 1, "file_name": f"{n:012d}.jpg", "width": 640, "height": 640} for n in range(IMAGES)],
        "annotations": [
            {"id": n + 1, "image_id": image, "category_id": id_, "bbox": box, "area": box[2] * box[3] * 0.7,
             "iscrowd": int(n % CROWD_EVERY == 0)}
            for n, (image, id_, box) in enumerate(
                zip(images.tolist(), ids[labels].tolist(), boxes.tolist(), strict=True)
            )
        ],
        "categories": classes,
    }  # fmt: skip
    return content, detections(rng, images, ids, labels, boxes)


def detections(rng: np.random.Generator, images: Any, ids: Any, labels: Any, boxes: Any) -> list[dict[str, Any]]:
    """Shaken copies of the boxes, the closer the surer; a third are of another class."""
    picked = rng.integers(0, BOXES, DETECTIONS)
    strength = rng.exponential(0.25, DETECTIONS)
    found = boxes[picked] + rng.normal(0, 1, (DETECTIONS, 4)) * strength[:, None] * np.tile(boxes[picked, 2:], 2)
    found[:, 2:] = np.abs(found[:, 2:]).clip(1)
    other = rng.random(DETECTIONS) < 1 / 3
    kinds = ids[np.where(other, rng.integers(0, len(ids), DETECTIONS), labels[picked])]
    scores = np.exp(-2 * strength - rng.random(DETECTIONS) - other).astype(np.float32)
    columns = (images[picked], kinds, found.round(3), scores)
    return [
        {"image_id": image, "category_id": id_, "bbox": box, "score": value}
        for image, id_, box, value in zip(*(column.tolist() for column in columns), strict=True)
    ]


if __name__ == "__main__":
    main()
