"""Batches of images of like shape, shuffled and mirrored by (seed, epoch)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from coursekit.data.boxes import flip_with_boxes
from coursekit.data.dataset import CocoDataset, Target, collate

Batches = DataLoader[tuple[list[Tensor], list[Target]]]


def train_batches(dataset: CocoDataset, batch_size: int, *, seed: int, epoch: int, flip: bool = True) -> Batches:
    """One epoch in shuffled batches, the same for the same seed and epoch; with `flip`, every other image mirrored."""
    samples: Dataset[Any] = Flipped(dataset, seed, epoch) if flip else dataset
    return DataLoader(samples, batch_sampler=ShapeBatches(dataset, batch_size, seed, epoch), collate_fn=collate)


def eval_batches(dataset: CocoDataset, batch_size: int) -> Batches:
    """Every image once, in order."""
    samples: Dataset[Any] = dataset
    return DataLoader(samples, batch_size=batch_size, collate_fn=collate)


class Flipped(Dataset[tuple[Tensor, Target]]):
    """A data set with half its images mirrored: which ones follows from (seed, epoch, index)."""

    def __init__(self, dataset: CocoDataset, seed: int, epoch: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        image, target = self.dataset[index]
        if np.random.default_rng([self.seed, self.epoch, index]).random() < 0.5:
            image, target["boxes"] = flip_with_boxes(image, target["boxes"])
        return image, target


class ShapeBatches(Sampler[list[int]]):
    """Shuffled batches of either wide or tall images: a batch of both is padded to a square, a third of it empty."""

    def __init__(self, dataset: CocoDataset, batch_size: int, seed: int, epoch: int) -> None:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(dataset))
        is_tall = np.array([image.height > image.width for image in dataset.images])[order]
        batches = [
            group[i : i + batch_size]
            for group in (order[is_tall], order[~is_tall])
            for i in range(0, len(group), batch_size)
        ]
        self.batches = [batches[i].tolist() for i in rng.permutation(len(batches))]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
