"""Samples per second from one process: coursekit's loader compared with torchvision's.

Both return images with a long side of 320 pixels and their boxes, every other one flipped, in lists of 8, from a torch
DataLoader with one worker and one thread. Theirs: `CocoDetection`, wrapped for the v2 transforms, from the original
JPEGs, in the faster of two orders: resizing Pillow's image, or the tensor. Ours: (a) from a subset that the builder
stored at 320 pixels, and from its images decoded in a memory-mapped file; (b) from the same original JPEGs, resized in
the loader. The course trains from (a): large files were decoded and resized once, when the subset was built.

Each way runs in processes of its own, and the ways take turns: five rounds, each with every way. After a warm-up, a
process times a pass, which reads all photographs several times. The ratios are those of passes of the same round; their
median and range are printed. Processes share the cores with whatever else runs, so one round alone says little.

    python benchmarks/bench_loader.py [--coco DIR]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2

LONG_SIDE, BATCH, ROUNDS = 320, 8, 5
AIMS = {"ours, stored at 320": 8.0, "ours, decoded": 8.0, "ours, originals": 1.3}
Epoch = Callable[[int], Iterable[Any]]  # number → batches


def main() -> None:
    """Measure all ways and compare them."""
    parser = argparse.ArgumentParser()
    shared = Path(__file__).resolve().parents[2] / "shared" / "coco"
    parser.add_argument("--coco", type=Path, default=shared)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.coco / "val2017").is_dir():
        sys.exit(f"{options.coco}: no photographs there. Name a folder laid out as COCO is: --coco DIR")
    if options.way:
        print(json.dumps(measure(WAYS[options.way](options.coco))))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSEKIT_CACHE"] = folder  # for our processes, too
        subset(options.coco)
        compare(options.coco)


def compare(coco: Path) -> None:
    """Run the ways in turns, and print the results."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for way in [*WAYS] * ROUNDS:
        command = [sys.executable, __file__, "--coco", str(coco), "--way", way]
        rates[way].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    print(f"{'':30} {'img/s':>7}   each round")
    for way, values in rates.items():
        print(f"{way:30} {statistics.median(values):7.0f}   {', '.join(f'{value:.0f}' for value in values)}")
    theirs = [max(values) for values in zip(*(rates[way] for way in WAYS if way not in AIMS), strict=True)]
    for way, aim in AIMS.items():
        ratios = sorted(ours / other for ours, other in zip(rates[way], theirs, strict=True))
        median = statistics.median(ratios)
        print(f"{way}: {median:.1f} times as fast, {ratios[0]:.1f} to {ratios[-1]:.1f} (aim {aim:g})")


def measure(way: tuple[Epoch, int]) -> float:
    """Return the samples per second of the second pass; the first is a warm-up."""
    torch.set_num_threads(1)
    epoch, epochs = way
    for number in range(2):
        start, count = time.perf_counter(), 0
        for part in range(epochs):
            count += sum(len(images) for images, _ in epoch(number * epochs + part))
        seconds = time.perf_counter() - start
    return count / seconds


def theirs(coco: Path, *steps: Any) -> tuple[Epoch, int]:
    """Return torchvision's CocoDetection with these transforms, and the number of epochs in a pass."""
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # pycocotools prints
        records = coco / "annotations" / "instances_val2017.json"
        data = CocoDetection(coco / "val2017", records, transforms=v2.Compose(steps))
    wrapped = wrap_dataset_for_transforms_v2(data, target_keys=["boxes", "labels", "image_id"])
    loader = DataLoader(wrapped, BATCH, shuffle=True, num_workers=1, persistent_workers=True, collate_fn=as_lists)
    return lambda _: loader, 4


def as_lists(samples: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return samples as a list of images and a list of targets."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def subset(coco: Path) -> Path:
    """Return the folder of the photographs at 320 pixels. The first call builds it."""
    from coursekit.data.subsets.build import build_subset
    from coursekit.data.subsets.recipe import Recipe

    recipe = Recipe("bench", "coco", seed=0, images={"val": 0}, long_side=LONG_SIDE)
    return build_subset(recipe, annotations=str(coco / "annotations"), images=str(coco))[0]


def ours(coco: Path, augment: Any, epochs: int, decoded: bool = False) -> tuple[Epoch, int]:
    """Return our loader of a folder, or of its decoded images, and the number of epochs in a pass."""
    from coursekit.data import load
    from coursekit.data.loader import make_loader

    dataset = load(coco, "val").with_pixels() if decoded else load(coco, "val")
    return make_loader(dataset, BATCH, augment=augment, workers=1).epoch, epochs


def mirrored(image: torch.Tensor, target: Any, rng: Any) -> tuple[torch.Tensor, Any]:
    """Flip every other image."""
    from coursekit.data.augment import mirror

    return mirror(image, target, rng)


def shrunk(image: torch.Tensor, target: Any, rng: Any) -> tuple[torch.Tensor, Any]:
    """Resize an image and its boxes to the long side, and flip every other one."""
    height, width = image.shape[1:]
    scale = LONG_SIDE / max(height, width)
    image = v2.functional.resize(image, [round(height * scale), round(width * scale)], antialias=True)
    boxes, crowd_boxes = target["boxes"] * scale, target["crowd_boxes"] * scale
    return mirrored(image, target | {"boxes": boxes, "crowd_boxes": crowd_boxes}, rng)


FLIP, RESIZE = v2.RandomHorizontalFlip(0.5), v2.Resize(None, max_size=LONG_SIDE)
WAYS: dict[str, Callable[[Path], tuple[Epoch, int]]] = {
    "torchvision, resizing Pillow's": lambda coco: theirs(coco, RESIZE, v2.ToImage(), FLIP),
    "torchvision, resizing tensors": lambda coco: theirs(coco, v2.ToImage(), RESIZE, FLIP),
    "ours, stored at 320": lambda coco: ours(subset(coco), mirrored, 20),
    "ours, decoded": lambda coco: ours(subset(coco), mirrored, 40, decoded=True),
    "ours, originals": lambda coco: ours(coco, shrunk, 4),
}

if __name__ == "__main__":
    main()
