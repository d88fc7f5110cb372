"""Read COCO's largest annotation file: coursekit compared with pycocotools.

The file is a stand-in for instances_train2017.json, generated from a seed, with as many images, boxes and fields: about
450 MB. Ours: `CocoIndex.load`, then find the images with a person and a dog. Theirs: `pycocotools.coco.COCO`, then the
same with `getCatIds` and `getImgIds`. Both read the whole file, and can then answer questions about all boxes. Theirs
also keeps the outlines; ours leaves them in the file unless asked for.

Each side runs in fresh processes, in turns, with the file in the system's cache, and the best time of each counts.
Memory is the peak of the process minus its memory just before reading, so without Python and the imports. The system
counts pages of a mapped file as memory of the process, so ours includes the whole file, though the system may reclaim
these pages at any time. (The peak is Linux's VmHWM: getrusage's ru_maxrss starts with that of the parent process.)

    python benchmarks/bench_index.py [--file PATH]      PATH is generated if it doesn't exist, and kept
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIDES = {"coursekit": 2, "pycocotools": 2}  # runs of each
IMAGES, BOXES, LARGEST_ID = 118_287, 860_001, 581_921
EMPTY, CROWD_EVERY = 1_021, 86  # as in COCO: images without a box, and boxes per crowd region
CHUNK = 20_000
AIM_SPEED, AIM_MEMORY = 15, 1 / 3


def main() -> None:
    """Measure both sides and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(globals()[f"run_{options.side}"](options.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "instances_train2017.json"
        if not path.exists():
            generate(path)
        compare(path)


def compare(path: Path) -> None:
    """Run both sides in processes of their own, and print the results."""
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, {IMAGES:,} images, {BOXES:,} boxes")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for side in [*SIDES] * max(SIDES.values()):
        if len(runs[side]) < SIDES[side]:
            runs[side].append(in_a_process(path, side))
    best = {side: min(values, key=lambda run: run["seconds"]) for side, values in runs.items()}
    print(f"{'':12} {'seconds':>8} {'growth MB':>10} {'peak MB':>8}   all runs, seconds")
    for side, run in best.items():
        each = ", ".join(f"{measured['seconds']:.2f}" for measured in runs[side])
        print(f"{side:12} {run['seconds']:8.2f} {run['growth']:10.0f} {run['peak']:8.0f}   {each}")
    ours, theirs = best.values()
    if ours["images"] != theirs["images"]:
        sys.exit(f"The sides differ: ours has {len(ours['images'])} images, theirs {len(theirs['images'])}.")
    print(f"Both return the same {len(ours['images']):,} images with a person and a dog.")
    print(f"{path.stat().st_size / 1e6:.0f} MB of our growth is the mapped file, which the system may reclaim.")
    print(f"coursekit then selects the images of coco-10k in {ours['select']:.2f} s.")
    speed, memory = theirs["seconds"] / ours["seconds"], ours["growth"] / theirs["growth"]
    print(f"{speed:.1f} times as fast (aim {AIM_SPEED}), {memory:.2f} of the memory (aim at most {AIM_MEMORY:.2f})")


def in_a_process(path: Path, side: str) -> dict[str, Any]:
    """Run one side in a process of its own, and return its report."""
    with path.open("rb") as file:
        while file.read(1 << 24):  # into the system's cache
            pass
    command = [sys.executable, __file__, "--file", str(path), "--side", side]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def run_coursekit(path: Path) -> dict[str, Any]:
    """Measure our side."""
    from coursekit.data.index import CocoIndex
    from coursekit.data.subsets.recipe import find_recipe
    from coursekit.data.subsets.select import select

    before, start = memory("VmRSS"), time.perf_counter()
    index = CocoIndex.load(path)
    images = index.image_ids[index.images_with(all_of=["person", "dog"])].tolist()
    result = report(images, before, start)
    recipe, start = find_recipe("coco-10k"), time.perf_counter()
    select(index, recipe, "train")
    return result | {"select": time.perf_counter() - start}


def run_pycocotools(path: Path) -> dict[str, Any]:
    """Measure their side. It prints messages, which we discard."""
    from pycocotools.coco import COCO

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        before, start = memory("VmRSS"), time.perf_counter()
        coco = COCO(str(path))
        images = coco.getImgIds(catIds=coco.getCatIds(["person", "dog"]))
        return report(images, before, start)


def report(images: list[int], before: float, start: float) -> dict[str, Any]:
    """Return time and memory since the start, and the answer. Sorting the answer isn't timed."""
    seconds, peak = time.perf_counter() - start, memory("VmHWM")
    return {"seconds": seconds, "growth": peak - before, "peak": peak, "images": sorted(images)}


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
