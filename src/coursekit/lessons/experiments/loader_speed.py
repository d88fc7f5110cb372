"""How many samples a second do loaders give, and how many does training need? Lesson 01."""

import json
import pickle
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from coursekit.data import CocoDataset
from coursekit.data.boxes import Size
from coursekit.data.loader import make_loader
from coursekit.detector import build_detector
from coursekit.lessons.checking.runner import can_fork
from coursekit.lessons.notebooks.notebook_session import session
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.training import TrainConfig, train

Resize = Callable[[Tensor, Tensor, Size], tuple[Tensor, Tensor]]
ROUNDS, BATCH = 3, 8


class Resized(Dataset[tuple[Tensor, Any]]):
    """A data set whose samples are resized when they are read.

    Args:
        dataset: images (C, H, W) with targets that have `boxes`; its `classes` are kept.
        long_side: of each image afterward, in pixels.
        resize_with_boxes: the function to use, such as your own.
    """

    def __init__(self, dataset: Any, long_side: int, resize_with_boxes: Resize) -> None:
        self.dataset, self.classes = dataset, dataset.classes
        self.long_side, self.resize_with_boxes = long_side, resize_with_boxes

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        image, target = self.dataset[index]
        factor = self.long_side / max(image.shape[1:])
        size = round(image.shape[1] * factor), round(image.shape[2] * factor)
        image, boxes = self.resize_with_boxes(image, target["boxes"], size)
        return image, {**target, "boxes": boxes}


def store(dataset: Any, count: int, folder: Path) -> None:
    """Write the first samples of a data set as a COCO folder, without crowds, and print the size of its files.

    Args:
        dataset: images (3, H, W) uint8, with targets that have `boxes` and `labels`; and `classes`, the names of the
            labels from 1 on.
        count: how many samples; fewer if the data set has fewer.
        folder: a folder that doesn't exist yet.
    """
    (folder / "train2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, min(count, len(dataset)) + 1):
        image, target = dataset[number - 1]
        file = folder / "train2017" / f"{number:06}.jpg"
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, quality=90)
        images.append({"id": number, "file_name": file.name, "height": image.shape[1], "width": image.shape[2]})
        annotations += _records(target, number, len(annotations))
    categories = [{"id": label, "name": name} for label, name in enumerate(dataset.classes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content), encoding="utf-8")
    sizes = [path.stat().st_size for path in (folder / "train2017").iterdir()]
    print(f"{folder.name}: {len(sizes)} files of {sum(sizes) / len(sizes) / 1024:.0f} KB on average")


def _records(target: Any, image_id: int, before: int) -> list[dict[str, Any]]:
    """Return the boxes of a target as COCO's annotations, with ids that follow those before."""
    pairs = zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)
    return [
        {
            "id": number,
            "image_id": image_id,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for number, ((x1, y1, x2, y2), label) in enumerate(pairs, before + 1)
    ]


class Portable:
    """An object that can travel to a new process although it uses code of a workbook.

    A spawned process doesn't know where `my_detector` is. So the workbook travels along, and is made importable first.
    """

    def __init__(self, value: Any, workbook: Workbook) -> None:
        self.value, self.workbook = value, workbook

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: int) -> Any:
        return self.value[index]

    def __call__(self, *args: Any) -> Any:
        """Call the object."""
        return self.value(*args)

    def __reduce__(self) -> Any:
        return _unpacked, (self.workbook.folder, pickle.dumps(self.value))


def _unpacked(folder: Path, value: bytes) -> Any:
    Workbook(folder).make_importable()
    return pickle.loads(value)


def samples_per_second(
    ways: Mapping[str, tuple[Any, int]],
    collate: Callable[..., Any],
    workbook: Workbook | None = None,
    start_method: str | None = None,
) -> dict[str, float]:
    """Measure loaders in batches of 8, and print a table.

    Args:
        ways: name → a data set, and the number of worker processes that read it. One from `coursekit.data.load` is read
            by the course's own loader.
        collate: samples → batch; the course's own loader doesn't need it.
        workbook: the workers import your functions from it; by default this notebook's.
        start_method: how workers are started, "fork" or "spawn"; by default "fork" where that works.

    Returns:
        Name → samples per second, the best of three rounds. The time to start workers is printed, but not counted.
    """
    workbook = workbook or session().my_workbook
    start_method = start_method or ("fork" if can_fork() else "spawn")
    print(f"{'':34} samples/s   first round   (workers: {start_method})")
    rates = {}
    for name, (dataset, workers) in tqdm(ways.items(), "loaders", leave=False):
        batches = _batches_of(dataset, workers, collate, workbook, start_method)
        first, *others = [_rate(batches) for _ in range(1 + ROUNDS)]
        rates[name] = max(others)
        print(f"{name:34} {rates[name]:9,.0f}   {first:11,.0f}")
    return rates


def _batches_of(
    dataset: Any, workers: int, collate: Callable[..., Any], workbook: Workbook, start_method: str
) -> Callable[[], Iterable[Any]]:
    """Return a function that starts a pass over the batches. The workers live as long as it does."""
    if isinstance(dataset, CocoDataset):
        own = make_loader(dataset, BATCH, train=False, workers=workers)
        return lambda: own.epoch(0)
    settings: dict[str, Any] = {}
    if workers:
        dataset, collate = Portable(dataset, workbook), Portable(collate, workbook)
        settings = {"num_workers": workers, "multiprocessing_context": start_method, "persistent_workers": True}
    loader: DataLoader[Any] = DataLoader(dataset, BATCH, collate_fn=collate, **settings)
    return lambda: loader


def _rate(batches: Callable[[], Iterable[Any]]) -> float:
    """Return the samples per second of one pass."""
    start = time.perf_counter()
    count = sum(len(targets) for _, targets in batches())
    return count / (time.perf_counter() - start)


def training_needs(dataset: CocoDataset) -> float:
    """Train the course's detector for an epoch; print and return how many samples a second that consumes."""
    torch.manual_seed(0)
    detector = build_detector(num_classes=len(dataset.classes))
    history = train(detector, dataset, TrainConfig(epochs=1, batch_size=BATCH, warmup_steps=2))
    rate = history[-1].images / history[-1].seconds
    print(f"training needs {rate:.1f} samples per second")
    return rate


def longer_steps(rates: Mapping[str, float], needed: float) -> None:
    """Print how much longer a training step takes with each loader, if nothing reads ahead.

    Args:
        rates: loader → samples per second.
        needed: samples per second that training consumes.
    """
    for name, rate in rates.items():
        print(f"{name:34} {needed / rate:7.1%} longer steps")
