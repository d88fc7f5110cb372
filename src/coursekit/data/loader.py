"""Batches of images of like shape, that neither wait for a damaged file nor die of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from coursekit.data.augment import Augment, mirror
from coursekit.data.dataset import CocoDataset, Target
from coursekit.errors import DataError, SettingError

Batch = tuple[list[Tensor], list[Target]]
Key = tuple[int, int]  # epoch and index: a sample depends on nothing else, so workers need no seeds
REPLACEMENTS = 20  # how often another image is tried before a sample is given up
MOST_NAMED = 5


class Loader:
    """Batches of a data set, epoch by epoch. Made by `make_loader`.

    Attributes:
        unreadable: file → why it could not be read, over all epochs so far.
    """

    def __init__(self, dataset: CocoDataset, loader: "DataLoader[Any]", batches: "ShapeBatches", most: float) -> None:
        self.dataset, self.loader, self.batches, self.most = dataset, loader, batches, most
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, the same for the same seed and number.

        Raises:
            DataError: more of the images than the share allowed can't be read.
        """
        self.batches.epoch = number
        for batch in self.loader:
            self._note(batch.unreadable)
            if batch.sizes:
                yield unpack(batch)

    def report(self) -> str:
        """What was left out, in words; empty where nothing was."""
        lines = []
        if self.unreadable:
            shown = "; ".join(list(self.unreadable.values())[:MOST_NAMED])
            more = " …" if len(self.unreadable) > MOST_NAMED else ""
            lines.append(f"{len(self.unreadable):,} of {len(self.dataset):,} images could not be read: {shown}{more}")
        if flat := self.dataset.degenerate_boxes():
            lines.append(f"{flat:,} boxes without width or height were left out.")
        return "\n".join(lines)

    def _note(self, unreadable: dict[str, str]) -> None:
        self.unreadable |= unreadable
        if len(self.unreadable) > self.most * len(self.dataset):
            raise DataError(
                f"Stopped: over {self.most:.0%} of the images can't be read, so this is no accident of a few files.\n"
                f"{self.report()}\nSee what is wrong with: coursekit data verify {self.dataset.name}"
            )


def make_loader(
    dataset: CocoDataset,
    batch_size: int,
    *,
    train: bool = True,
    seed: int = 0,
    augment: Augment = mirror,
    workers: int = 0,
    most_unreadable: float = 0.1,
) -> Loader:
    """Batches of a data set: lists of (3, H, W) uint8 images and of targets.

    In training a sample that can't be read is replaced by another one; else it is left out. Either way it is counted
    and named in `Loader.report()`.

    Args:
        dataset: what to read.
        batch_size: images a batch; the last of a shape may be smaller.
        train: shuffled, changed by `augment`, in batches of like shape; else every image once, in order.
        seed: of order and augmentation. What is drawn for a sample follows from (seed, epoch, index).
        augment: what to do to a training sample: `mirror`, `unchanged`, or what `augmentation` gives.
        workers: processes that read ahead. They share the records, which are flat arrays.
        most_unreadable: share of the images beyond which the loader stops and says why.

    Raises:
        SettingError: a number can't be used.
    """
    if batch_size < 1 or workers < 0:
        raise SettingError(f"batch size {batch_size}, workers {workers}: take at least 1 image a batch and 0 workers.")
    batches = ShapeBatches(dataset, batch_size, seed, shuffle=train)
    loader: DataLoader[Any] = DataLoader(
        Samples(dataset, augment if train else None, seed),
        batch_sampler=batches,
        collate_fn=pack,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return Loader(dataset, loader, batches, most_unreadable)


class ShapeBatches(Sampler[list[Key]]):
    """Batches of either wide or tall images: a batch of both is padded to a square, a third of it empty."""

    def __init__(self, dataset: CocoDataset, batch_size: int, seed: int, *, shuffle: bool) -> None:
        self.is_tall = (dataset.index.heights > dataset.index.widths)[dataset.rows]
        self.batch_size, self.seed, self.shuffle, self.epoch = batch_size, seed, shuffle, 0

    def __len__(self) -> int:
        groups = [self.is_tall.sum(), (~self.is_tall).sum()] if self.shuffle else [len(self.is_tall)]
        return int(sum(-(-int(group) // self.batch_size) for group in groups))

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self._shuffled() if self.shuffle else _split(np.arange(len(self.is_tall)), self.batch_size):
            yield [(self.epoch, index) for index in batch.tolist()]

    def _shuffled(self) -> list[Any]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.is_tall))
        groups = (order[self.is_tall[order]], order[~self.is_tall[order]])
        batches = [batch for group in groups for batch in _split(group, self.batch_size)]
        return [batches[place] for place in rng.permutation(len(batches))]


def _split(order: Any, size: int) -> list[Any]:
    return [order[start : start + size] for start in range(0, len(order), size)]


Sample = tuple[tuple[Tensor, Target] | None, dict[str, str]]  # what was read, and what could not be


class Samples(Dataset[Sample]):
    """Samples by (epoch, index), with what could not be read on the way."""

    def __init__(self, dataset: CocoDataset, augment: Augment | None, seed: int) -> None:
        self.dataset, self.augment, self.seed = dataset, augment, seed

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        unreadable: dict[str, str] = {}
        for _ in range(REPLACEMENTS if self.augment else 1):
            try:
                image, target = self.dataset[index]
            except DataError as error:
                unreadable[self.dataset.path(index).name] = str(error)
                index = int(rng.integers(len(self.dataset)))
                continue
            if self.augment:
                image, target = self.augment(image, target, rng)
            return (image, target), unreadable
        return None, unreadable


class Packed(NamedTuple):
    """A batch on its way from a worker: few large tensors, because each that crosses costs as much as a small image."""

    pixels: Tensor  # (sum of H * W * 3,) uint8, image after image
    sizes: list[tuple[int, int]]  # H, W of each
    boxes: Tensor  # (sum of N + M, 4) float32: an image's boxes, then its crowds
    labels: Tensor  # (sum of N,) int64
    counts: list[tuple[int, int]]  # N, M of each
    image_ids: list[int]
    unreadable: dict[str, str]


def pack(samples: list[Sample]) -> Packed:
    """Samples as one batch of few tensors. Those that could not be read are left out."""
    read = [sample for sample, _ in samples if sample is not None]
    images, targets = [image for image, _ in read], [target for _, target in read]
    none = torch.zeros(0, 4)
    flat = [torch.zeros(0, dtype=torch.uint8), *(image.permute(1, 2, 0).reshape(-1) for image in images)]
    return Packed(
        pixels=torch.cat(flat),
        sizes=[(image.shape[1], image.shape[2]) for image in images],
        boxes=torch.cat([none, *(target[name] for target in targets for name in ("boxes", "crowd_boxes"))]),
        labels=torch.cat([torch.zeros(0, dtype=torch.int64), *(target["labels"] for target in targets)]),
        counts=[(len(target["boxes"]), len(target["crowd_boxes"])) for target in targets],
        image_ids=[target["image_id"] for target in targets],
        unreadable={file: reason for _, unreadable in samples for file, reason in unreadable.items()},
    )


def unpack(batch: Packed) -> Batch:
    """The images and targets of a packed batch, as views of its tensors."""
    pixels = batch.pixels.split([3 * height * width for height, width in batch.sizes])
    boxes = batch.boxes.split([count for pair in batch.counts for count in pair])
    labels = batch.labels.split([count for count, _ in batch.counts])
    images = [flat.view(*size, 3).permute(2, 0, 1) for flat, size in zip(pixels, batch.sizes, strict=True)]
    columns = zip(boxes[::2], labels, boxes[1::2], batch.image_ids, strict=True)
    names = ("boxes", "labels", "crowd_boxes", "image_id")
    return images, [cast(Target, dict(zip(names, values, strict=True))) for values in columns]
