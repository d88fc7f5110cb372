"""A COCO folder as a torch data set of images and their boxes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Target, clean_boxes, xywh_to_xyxy
from coursekit.data.images import MAX_PIXELS, read_image
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.pixels import Pixels, decode_all
from coursekit.data.records import Category


@dataclass(frozen=True)
class CocoDataset(Dataset[tuple[Tensor, Target]]):
    """Images (3, H, W) uint8 of one split with their targets. Images with no boxes are part of it.

    Attributes:
        name: what the user called the data.
        index: the records.
        rows: (len,) which of the index's images the samples are.
        image_folder: where the files lie.
        pixels: the decoded images, see `with_pixels`.
    """

    name: str
    index: CocoIndex
    rows: Rows
    image_folder: Path
    pixels: Pixels | None = None

    @property
    def categories(self) -> list[Category]:
        """The classes, sorted by COCO's id."""
        return self.index.categories

    @property
    def classes(self) -> list[str]:
        """Names of the classes; label 1 is the first of them."""
        return [category.name for category in self.categories]

    @property
    def category_ids(self) -> list[int]:
        """COCO's ids of the classes: label → id is `category_ids[label - 1]`."""
        return [category.id for category in self.categories]

    @property
    def image_ids(self) -> list[int]:
        """COCO's ids of the images, in the order of the samples."""
        ids: list[int] = self.index.image_ids[self.rows].tolist()
        return ids

    @property
    def annotation_file(self) -> Path:
        """Where the records come from."""
        return self.index.path

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        return self.read(index)

    def read(self, index: int, out: NDArray[np.uint8] | None = None) -> tuple[Tensor, Target]:
        """A sample, its image in the memory of `out`, where that is given: at least `3 * most_pixels()` bytes."""
        row, size = int(self.rows[index]), self.size(index)
        decoded = self.pixels.read(row, size, out) if self.pixels else None
        return read_image(self.path(index), size, out) if decoded is None else decoded, self.target(index)

    def most_pixels(self) -> int:
        """The area of the largest image that is no bomb."""
        areas = (self.index.widths * self.index.heights)[self.rows]
        return int(areas[areas <= MAX_PIXELS].max(initial=0))

    def path(self, index: int) -> Path:
        """The file of a sample."""
        return self.image_folder / str(self.index.file_names[self.rows[index]])

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels of a sample's image, as recorded."""
        row = self.rows[index]
        return int(self.index.widths[row]), int(self.index.heights[row])

    def target(self, index: int) -> Target:
        """The target of a sample, without reading its image. Boxes with no extent in the image are left out."""
        row = int(self.rows[index])
        boxes = self.index.boxes[self.index.rows_of(row)]
        labels = np.searchsorted(self.category_ids, self.index.category_ids[self.index.rows_of(row)]) + 1
        is_crowd = self.index.is_crowd[self.index.rows_of(row)]
        size = int(self.index.heights[row]), int(self.index.widths[row])
        xyxy, keep = clean_boxes(xywh_to_xyxy(torch.from_numpy(boxes.astype(np.float32))), size)
        crowd = torch.from_numpy(is_crowd)[keep]
        return {
            "boxes": xyxy[~crowd],
            "labels": torch.from_numpy(labels)[keep][~crowd],
            "crowd_boxes": xyxy[crowd],
            "image_id": int(self.index.image_ids[row]),
        }

    def degenerate_boxes(self) -> int:
        """How many boxes of these images have no width or no height, and so are left out of the targets."""
        flat: Any = (self.index.boxes[:, 2:] <= 0).any(axis=1)
        return int(flat[np.isin(self.index.image_rows, self.rows)].sum())

    def with_pixels(self) -> "CocoDataset":
        """Return the same data set, read from decoded images. They are written to the cache if they aren't there."""
        return replace(self, pixels=decode_all(self.annotation_file, self.image_folder, self.index))

    def head(self, count: int) -> "CocoDataset":
        """The first `count` images, or all where there are fewer."""
        return replace(self, rows=self.rows[:count])

    def first(self, count: int) -> "CocoDataset":
        """The first `count` images that have something to find in them.

        Raises:
            ConfigError: `count` is not positive, or there are not that many.
        """
        if count < 1:
            raise ConfigError(f"{count} images: take at least 1.")
        singles = ~self.index.is_crowd & (self.index.boxes[:, 2:] > 0).all(axis=1)
        found = self.rows[np.isin(self.rows, self.index.image_rows[singles])]
        if len(found) < count:
            raise ConfigError(f"{self.annotation_file}: {count} images with boxes wanted, {len(found)} there.")
        return replace(self, rows=found[:count])

    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """The records as COCO's dict: of these images only, and of all their boxes, crowds too."""
        return {
            "images": [self._image_record(int(row)) for row in self.rows],
            "annotations": [record for row in self.rows for record in self._annotation_records(int(row))],
            "categories": [{"id": category.id, "name": category.name} for category in self.categories],
        }

    def _image_record(self, row: int) -> dict[str, Any]:
        index = self.index
        size = {"width": int(index.widths[row]), "height": int(index.heights[row])}
        return {"id": int(index.image_ids[row]), "file_name": str(index.file_names[row])} | size

    def _annotation_records(self, row: int) -> list[dict[str, Any]]:
        index, where = self.index, self.index.rows_of(row)
        columns = (index.annotation_ids, index.category_ids, index.boxes, index.areas, index.is_crowd)
        names = ("id", "category_id", "bbox", "area", "iscrowd")
        values = zip(*(column[where].tolist() for column in columns), strict=True)
        image = {"image_id": int(index.image_ids[row])}
        return [image | dict(zip(names, one, strict=True)) | {"iscrowd": int(one[-1])} for one in values]


def collate(samples: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Samples as a list of images and a list of targets: images differ in size, so they can't be stacked here."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)
