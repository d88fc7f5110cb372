"""Read COCO's largest annotation file: coursekit compared with pycocotools.

The file is a stand-in for instances_train2017.json, generated from a seed, with as many images, boxes and fields: about
450 MB. Ours: `CocoIndex.load`, then find the images with a person and a dog. Theirs: `pycocotools.coco.COCO`, then the
same with `getCatIds` and `getImgIds`. Both read the whole file, and can then answer questions about all boxes. Theirs
also keeps the outlines; ours leaves them in the file unless asked for. "again" is ours the second time, with the index
that the first time has left in the cache.

The sides take turns, each time in a fresh process, with the file in the system's cache, and with an empty cache folder
for our first time. A ratio is that of one round: what else the machine does slows down both sides of it. CPU time is
that of all processes of a side: ours has two where there are two cores.

Memory is the peak of the process minus its memory just before reading, so without Python and the imports; that of our
second process is added. (The peak is Linux's VmHWM: getrusage's ru_maxrss starts with that of the parent process.)

    python benchmarks/bench_index.py [--file PATH]      PATH is generated if it doesn't exist, and kept
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIDES = ("coursekit", "again", "pycocotools")
ROUNDS = 5
IMAGES, BOXES, LARGEST_ID = 118_287, 860_001, 581_921
EMPTY, CROWD_EVERY = 1_021, 86  # as in COCO: images without a box, and boxes per crowd region
CHUNK = 20_000
AIM_SPEED, AIM_MEMORY, AIM_AGAIN = 12, 1 / 3, 0.1
SETTLED_SECONDS = 3  # the index of a file that was written a moment ago isn't kept


def main() -> None:
    """Measure both sides and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run = run_pycocotools if options.side == "pycocotools" else run_coursekit
        print(json.dumps(run(options.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "instances_train2017.json"
        if not path.exists():
            generate(path)
            time.sleep(SETTLED_SECONDS)
        compare(path, Path(folder))


def compare(path: Path, folder: Path) -> None:
    """Run the sides in turn in processes of their own, and print the results."""
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, {IMAGES:,} images, {BOXES:,} boxes, {ROUNDS} rounds")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(ROUNDS):
        for side in SIDES:
            runs[side].append(in_a_process(path, side, folder / f"cache-{number}"))
    if any(run["images"] != runs["pycocotools"][0]["images"] for side in SIDES for run in runs[side]):
        sys.exit("The sides differ.")
    print(f"All return the same {len(runs['again'][0]['images']):,} images with a person and a dog. Median (range):")
    for side, values in runs.items():
        seconds, cpu, growth = (spread([run[name] for run in values]) for name in ("seconds", "cpu", "growth"))
        print(f"{side:12} {seconds} s   {cpu} s of CPU   {growth} MB")
    print(f"coursekit then selects the images of coco-10k in {spread([run['select'] for run in runs['coursekit']])} s.")
    speed, cpu, again = (ratios(runs, *names) for names in (("seconds",), ("cpu",), ("seconds", "again")))
    print(f"{spread(speed)} times as fast (aim {AIM_SPEED}), {spread(cpu)} times by CPU time")
    memory_ratios = [1 / ratio for ratio in ratios(runs, "growth")]
    print(f"{spread(memory_ratios)} of the memory (aim at most {AIM_MEMORY:.2f})")
    print(f"the second time, {spread(again)} times as fast (aim {AIM_AGAIN * 1000:.0f} ms)")


def ratios(runs: dict[str, list[dict[str, Any]]], name: str, side: str = "coursekit") -> list[float]:
    """Return theirs divided by ours, for each round."""
    return [theirs[name] / ours[name] for ours, theirs in zip(runs[side], runs["pycocotools"], strict=True)]


def spread(values: list[float]) -> str:
    """Return the median and the range of some values."""
    median, low, high = (f"{value:.3g}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({low} to {high})"


def in_a_process(path: Path, side: str, cache: Path) -> dict[str, Any]:
    """Run one side in a process of its own, and return its report."""
    with path.open("rb") as file:
        while file.read(1 << 24):  # into the system's cache
            pass
    command = [sys.executable, __file__, "--file", str(path), "--side", side]
    environment = os.environ | {"COURSEKIT_CACHE": str(cache)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run_coursekit(path: Path) -> dict[str, Any]:
    """Measure our side."""
    from coursekit.data.index import CocoIndex
    from coursekit.data.subsets.recipe import find_recipe
    from coursekit.data.subsets.select import select

    start = Start()
    index = CocoIndex.load(path)
    images = index.image_ids[index.images_with(all_of=["person", "dog"])].tolist()
    result = start.report(images)
    recipe, begin = find_recipe("coco-10k"), time.perf_counter()
    select(index, recipe, "train")
    return result | {"select": time.perf_counter() - begin}


def run_pycocotools(path: Path) -> dict[str, Any]:
    """Measure their side. It prints messages, which we discard."""
    from pycocotools.coco import COCO

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        start = Start()
        coco = COCO(str(path))
        return start.report(coco.getImgIds(catIds=coco.getCatIds(["person", "dog"])))


class Start:
    """Time and memory of this process and of those that it starts, from here on."""

    def __init__(self) -> None:
        self.memory, self.cpu, self.time = memory("VmRSS"), cpu_seconds(), time.perf_counter()

    def report(self, images: list[int]) -> dict[str, Any]:
        """Return time and memory since the start, and the answer. Sorting the answer isn't timed."""
        seconds, cpu, peak = time.perf_counter() - self.time, cpu_seconds() - self.cpu, memory("VmHWM")
        other = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        growth = peak - self.memory + max(0, other - self.memory)
        return {"seconds": seconds, "cpu": cpu, "growth": growth, "images": sorted(images)}


def cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def memory(what: str) -> float:
    """Return the memory of this process now (VmRSS) or at its peak (VmHWM), in MB of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


def generate(path: Path) -> None:
    """Write the stand-in. It appears complete or not at all."""
    import numpy as np

    from coursekit.core.files import new_file
    from coursekit.data.categories import BY_SUPERCATEGORY

    rng = np.random.default_rng(0)
    ids = rng.permutation(LARGEST_ID)[:IMAGES].tolist()
    classes = [
        {"supercategory": group, "id": id_, "name": name}
        for group, members in BY_SUPERCATEGORY.items()
        for id_, name in members.items()
    ]
    with new_file(path) as partial, partial.open("w") as file:
        file.write('{"info":{"description":"stand-in"},"licenses":[],"images":[')
        file.write(",".join(json.dumps(image_record(id_)) for id_ in ids))
        file.write('],"annotations":[')
        for number, record in enumerate(box_records(rng, ids[EMPTY:], [category["id"] for category in classes])):
            file.write(("," if number else "") + json.dumps(record))
        file.write(f'],"categories":{json.dumps(classes)}}}')


def image_record(id_: int) -> dict[str, Any]:
    """Return an image with all the fields that COCO's have."""
    return {
        "license": id_ % 8 + 1,
        "file_name": f"{id_:012d}.jpg",
        "coco_url": f"http://images.cocodataset.org/train2017/{id_:012d}.jpg",
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm9.staticflickr.com/8186/{id_:010d}_cb23ec5a2e_z.jpg",
        "id": id_,
    }


def box_records(rng: Any, images: list[int], classes: list[int]) -> Iterator[dict[str, Any]]:
    """Yield boxes with outlines of 22 corners. Some classes are far more frequent than others."""
    for first in range(0, BOXES, CHUNK):
        count = min(CHUNK, BOXES - first)
        places, kinds = rng.integers(len(images), size=count), rng.geometric(0.06, count) - 1
        boxes = (rng.random((count, 4)) * [400, 300, 200, 150] + [0, 0, 4, 4]).round(2).tolist()
        outlines = (rng.random((count, 44)) * 480).round(2).tolist()
        for row in range(count):
            yield {
                "segmentation": [outlines[row]],
                "area": round(boxes[row][2] * boxes[row][3] * 0.6, 4),
                "iscrowd": int((first + row) % CROWD_EVERY == 0),
                "image_id": images[places[row]],
                "bbox": boxes[row],
                "category_id": classes[min(int(kinds[row]), len(classes) - 1)],
                "id": first + row + 1,
            }


if __name__ == "__main__":
    main()
