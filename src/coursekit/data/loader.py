"""Batches of images of similar shape. A damaged file neither stops the loader nor goes unnoticed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.augment import Augment, mirror
from coursekit.data.batch_order import Key, Part, ShapeBatches
from coursekit.data.dataset import MOST_UNREADABLE, CocoDataset
from coursekit.data.packing import PREFETCH, SLOTS, Batch, Packed, Sample, Slots, pack, slot_size, unpack
from coursekit.data.workers import workers_that_fit

REPLACEMENTS = 20  # images to try in place of an unreadable one before giving up
MOST_NAMED = 5


class Loader:
    """The batches of a data set, epoch by epoch. Made by `make_loader`.

    Attributes:
        workers: number of processes that read in advance.
        unreadable: file name → why it could not be read, of all epochs so far.
    """

    def __init__(self, samples: "Samples", loader: "DataLoader[Any]", batches: ShapeBatches, most: float) -> None:
        self.dataset, self.slots = samples.dataset, samples.slots
        self.loader, self.batches, self.most, self.workers = loader, batches, most, loader.num_workers
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield the batches of one epoch. The same seed and number give the same batches.

        Args:
            number: number of the epoch, from 0.
            start: the first batch to yield, to resume in the middle of an epoch.
            rank, world: with `world` processes, this one gets images rank, rank + world, … of each batch.

        Raises:
            DataError: more images can't be read than `most_unreadable` allows.
        """
        self.batches.part = Part(number, start, rank, world)
        for batch in self.loader:
            self._note(batch.unreadable)
            if batch.sizes or world > 1:
                yield unpack(batch, self.slots)

    def report(self) -> str:
        """Describe what was left out, one line each; an empty text if nothing was."""
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
                f"Stopped: more than {self.most:.0%} of the images can't be read. That is more than a few bad files.\n"
                f"{self.report()}\nTo find out what is wrong, run: coursekit data verify {self.dataset.name}"
            )


def make_loader(
    dataset: CocoDataset,
    batch_size: int,
    *,
    train: bool = True,
    seed: int = 0,
    augment: Augment = mirror,
    workers: int = 0,
    most_unreadable: float = MOST_UNREADABLE,
) -> Loader:
    """Make a loader of batches: (3, H, W) uint8 images and a list of targets each.

    The images of a batch are usually on one canvas; see `PaddedImages`. If there is a GPU, it is in pinned memory.

    In training, another sample replaces one that can't be read; in evaluation it is left out. In both cases,
    `Loader.report()` names it.

    Args:
        dataset: the samples.
        batch_size: images per batch. The last batch of a shape may be smaller.
        train: shuffle, augment, and group images by shape. Otherwise return each image once, in order.
        seed: seed of order and augmentation. The random draws for a sample depend on (seed, epoch, index) only.
        augment: applied to training samples: `mirror`, `unchanged`, or the result of `augmentation`.
        workers: number of processes that read in advance, see `choose_workers`. They share the records, which are flat
            arrays. If there is too little shared memory, fewer are used, with a warning.
        most_unreadable: the share of unreadable images, from 0 to 1, above which the loader stops with an error.

    Raises:
        ConfigError: `batch_size` or `workers` is too small.
    """
    if batch_size < 1 or workers < 0:
        raise ConfigError(
            f"batch size {batch_size}, workers {workers}: batch size must be at least 1, workers at least 0."
        )
    batches = ShapeBatches(dataset, batch_size, seed, shuffle=train)
    capacity = batch_size * dataset.most_pixels() * 3
    workers = workers_that_fit(workers, SLOTS * slot_size(capacity))
    slots = Slots(workers, capacity, pin=torch.cuda.is_available())
    samples = Samples(dataset, augment if train else None, seed, slots)
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=_unchanged_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
    )
    return Loader(samples, loader, batches, most_unreadable)


def _unchanged_batch(batch: Any) -> Any:
    return batch  # `Samples` has packed it already


class Samples(Dataset[Sample]):
    """Samples by (epoch, index), each with the files that could not be read on the way to it."""

    def __init__(self, dataset: CocoDataset, augment: Augment | None, seed: int, slots: Slots) -> None:
        self.dataset, self.augment, self.seed, self.slots = dataset, augment, seed, slots
        self.targets = dataset.targets  # computed here, so that workers share them
        # Reused for all samples: allocating fresh memory takes half as long as decoding.
        self.scratch = np.empty(dataset.most_pixels() * 3, np.uint8)

    def __getitems__(self, keys: list[Key]) -> Packed:
        return pack((self[key] for key in keys), self.slots, [self.dataset.size(index) for _, index in keys])

    def __getitem__(self, key: Key) -> Sample:
        """Return a sample. It is valid until the next one is requested, because both use the same memory."""
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        unreadable: dict[str, str] = {}
        for _ in range(REPLACEMENTS if self.augment else 1):
            try:
                image, target = self.dataset.read(index, self.scratch)
            except DataError as error:
                unreadable[self.dataset.file_name(index)] = str(error)
                index = int(rng.integers(len(self.dataset)))
                continue
            if self.augment:
                image, target = self.augment(image, target, rng)
            return (image, target), unreadable
        return None, unreadable
