"""Batches of images of like shape, that neither wait for a damaged file nor die of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.augment import Augment, mirror
from coursekit.data.boxes import Target
from coursekit.data.dataset import CocoDataset
from coursekit.data.packing import PREFETCH, Packed, Sample, Slots, pack, unpack

Batch = tuple[list[Tensor], list[Target]]
Key = tuple[int, int]  # epoch and index: a sample depends on nothing else, so workers need no seeds
REPLACEMENTS = 20  # how often another image is tried before a sample is given up
MOST_NAMED = 5


class Loader:
    """Batches of a data set, epoch by epoch. Made by `make_loader`.

    Attributes:
        unreadable: file → why it could not be read, over all epochs so far.
    """

    def __init__(self, samples: "Samples", loader: "DataLoader[Any]", batches: "ShapeBatches", most: float) -> None:
        self.dataset, self.slots = samples.dataset, samples.slots
        self.loader, self.batches, self.most = loader, batches, most
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The batches of one epoch, the same for the same seed and number.

        Args:
            number: of the epoch, from 0.
            start: the first batch wanted, to go on in the middle.
            rank, world: of `world` processes this one gets every world-th image of each batch, from the rank-th on.

        Raises:
            DataError: more of the images than the share allowed can't be read.
        """
        self.batches.part = Part(number, start, rank, world)
        for batch in self.loader:
            self._note(batch.unreadable)
            if batch.sizes or world > 1:
                yield unpack(batch, self.slots)

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
        ConfigError: a number can't be used.
    """
    if batch_size < 1 or workers < 0:
        raise ConfigError(f"batch size {batch_size}, workers {workers}: take at least 1 image a batch and 0 workers.")
    batches = ShapeBatches(dataset, batch_size, seed, shuffle=train)
    samples = Samples(dataset, augment if train else None, seed, Slots(workers, batch_size * dataset.most_pixels() * 3))
    loader: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
    )
    return Loader(samples, loader, batches, most_unreadable)


def _as_it_is(batch: Any) -> Any:  # the samples come packed already
    return batch


class Part(NamedTuple):
    """What of the data is wanted: see `Loader.epoch`."""

    epoch: int = 0
    start: int = 0
    rank: int = 0
    world: int = 1


class ShapeBatches(Sampler[list[Key]]):
    """Batches of either wide or tall images: a batch of both is padded to a square, a third of it empty."""

    def __init__(self, dataset: CocoDataset, batch_size: int, seed: int, *, shuffle: bool) -> None:
        self.is_tall = (dataset.index.heights > dataset.index.widths)[dataset.rows]
        self.batch_size, self.seed, self.shuffle, self.part = batch_size, seed, shuffle, Part()

    def __len__(self) -> int:
        groups = [self.is_tall.sum(), (~self.is_tall).sum()] if self.shuffle else [len(self.is_tall)]
        return int(sum(-(-int(group) // self.batch_size) for group in groups))

    def __iter__(self) -> Iterator[list[Key]]:
        part = self.part
        batches = self._shuffled() if self.shuffle else _split(np.arange(len(self.is_tall)), self.batch_size)
        for batch in batches[part.start :]:
            yield [(part.epoch, index) for index in batch[part.rank :: part.world].tolist()]

    def _shuffled(self) -> list[Any]:
        rng = np.random.default_rng([self.seed, self.part.epoch])
        order = rng.permutation(len(self.is_tall))
        groups = (order[self.is_tall[order]], order[~self.is_tall[order]])
        batches = [batch for group in groups for batch in _split(group, self.batch_size)]
        return [batches[place] for place in rng.permutation(len(batches))]


def _split(order: Any, size: int) -> list[Any]:
    return [order[start : start + size] for start in range(0, len(order), size)]


class Samples(Dataset[Sample]):
    """Batches of samples by (epoch, index), with what could not be read on the way."""

    def __init__(self, dataset: CocoDataset, augment: Augment | None, seed: int, slots: Slots) -> None:
        self.dataset, self.augment, self.seed, self.slots = dataset, augment, seed, slots
        self.scratch = np.empty(dataset.most_pixels() * 3, np.uint8)  # fresh memory takes half as long as decoding

    def __getitems__(self, keys: list[Key]) -> Packed:
        return pack((self[key] for key in keys), self.slots)

    def __getitem__(self, key: Key) -> Sample:
        """A sample, good until the next is asked for: both lie in the same memory."""
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        unreadable: dict[str, str] = {}
        for _ in range(REPLACEMENTS if self.augment else 1):
            try:
                image, target = self.dataset.read(index, self.scratch)
            except DataError as error:
                unreadable[self.dataset.path(index).name] = str(error)
                index = int(rng.integers(len(self.dataset)))
                continue
            if self.augment:
                image, target = self.augment(image, target, rng)
            return (image, target), unreadable
        return None, unreadable
