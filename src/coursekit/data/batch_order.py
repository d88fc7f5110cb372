"""Which samples make up a batch, and in which order."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from coursekit.data.dataset import CocoDataset

Key = tuple[int, int]  # (epoch, index): a sample depends on nothing else, so workers need no seeds of their own


class Part(NamedTuple):
    """The part of the data to read; see `Loader.epoch`."""

    epoch: int = 0
    start: int = 0
    rank: int = 0
    world: int = 1


class ShapeBatches(Sampler[list[Key]]):
    """Batches of either wide or tall images. Padding makes a mixed batch a square, one third of it empty."""

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
        return [batches[number] for number in rng.permutation(len(batches))]


def _split(order: Any, size: int) -> list[Any]:
    return [order[start : start + size] for start in range(0, len(order), size)]
