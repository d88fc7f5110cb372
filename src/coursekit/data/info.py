"""What a data set contains: classes, sizes, boxes per image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex


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


def summarize(folder: Path) -> list[Summary]:
    """Summarize the splits of a COCO folder.

    Raises:
        DataError: it has no split, or one that can't be used.
    """
    splits = [split for split in ("train", "val") if (folder / "annotations" / f"instances_{split}2017.json").exists()]
    if not splits:
        raise DataError(
            f"{folder}: no annotations/instances_train2017.json or instances_val2017.json. "
            "Pass a folder in COCO's layout."
        )
    return [_summary(split, CocoIndex.load(folder / "annotations" / f"instances_{split}2017.json")) for split in splits]


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
