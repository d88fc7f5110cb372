"""What a data set contains: classes, sizes, boxes per image."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coursekit.data.folder_layouts import find_splits
from coursekit.data.index import CocoIndex
from coursekit.data.load_by_name import absent_note, find_folder, load_split
from coursekit.data.source_options import Source
from coursekit.data.train_and_val import split_problems


@dataclass(frozen=True)
class Summary:
    """What one split contains. Crowds are counted separately, and don't count as boxes.

    Attributes:
        split: "train" or "val".
        images, crowds: how many.
        degenerate: how many boxes have no width or no height.
        classes: (name, boxes, images with at least one box) of each class, most boxes first.
        boxes_per_image: (I,) counts.
        sides: (N,) √(width · height) of each box in pixels.
    """

    split: str
    images: int
    crowds: int
    degenerate: int
    classes: list[tuple[str, int, int]]
    boxes_per_image: NDArray[np.int64]
    sides: NDArray[np.float64]

    @property
    def headline(self) -> str:
        """The split in one line."""
        empty = int((self.boxes_per_image == 0).sum())
        return (
            f"{self.images:,} images ({empty} without boxes), {len(self.sides):,} boxes, "
            f"{self.crowds} crowds, {self.degenerate} boxes without area"
        )


def summarize(name_or_dir: str | Path | Source) -> list[Summary]:
    """Summarize the splits of a data set. A warning names absent images, another what keeps a training from starting.

    Raises:
        DataError: it has no split, or one that can't be used.
    """
    source = Source.parse(name_or_dir)
    splits = [split for split in find_splits(find_folder(source), source) if split in ("train", "val")]
    loaded = [load_split(source, split) for split in splits]
    for note in [*split_problems([each.dataset.index for each in loaded]), *filter(None, map(absent_note, loaded))]:
        warnings.warn(note, stacklevel=2)
    return [_summary(split, each.dataset.index) for split, each in zip(splits, loaded, strict=True)]


def _summary(split: str, index: CocoIndex) -> Summary:
    rows, single = index.image_rows, ~index.is_crowd
    classes = []
    for category in index.categories:
        of_class = single & (index.category_ids == category.id)
        classes.append((category.name, int(of_class.sum()), len(np.unique(rows[of_class]))))
    return Summary(
        split=split,
        images=len(index),
        crowds=int(index.is_crowd.sum()),
        degenerate=int((index.boxes[:, 2:] <= 0).any(axis=1).sum()),
        classes=sorted(classes, key=lambda row: -row[1]),
        boxes_per_image=np.bincount(rows[single], minlength=len(index)),
        sides=np.sqrt(index.boxes[single, 2] * index.boxes[single, 3]),
    )
