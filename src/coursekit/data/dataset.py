"""A COCO folder as a torch data set of images and targets."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.boxes import Size, Target
from coursekit.data.categories import match_classes
from coursekit.data.decoded_cache import Pixels, decode_all
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.open_with_pillow import MAX_PIXELS
from coursekit.data.read_images import read_image
from coursekit.data.records import Category
from coursekit.data.targets import Targets

MOST_UNREADABLE = 0.1  # the share of images that a run can do without


@dataclass(frozen=True)
class CocoDataset(Dataset[tuple[Tensor, Target]]):
    """Images (3, H, W) uint8 of one split with their targets, including images without boxes.

    Attributes:
        name: the name or folder that the user gave.
        index: the records.
        rows: (len,) the rows of the index that make up this data set.
        image_folder: the folder of the image files.
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
        """Names of the classes. Label 1 is the first; 0 is the background and not in this list."""
        return [category.name for category in self.categories]

    @property
    def category_ids(self) -> list[int]:
        """COCO's ids of the classes: the id of a label is `category_ids[label - 1]`."""
        return [category.id for category in self.categories]

    @property
    def image_ids(self) -> list[int]:
        """COCO's ids of the images, in the order of the samples."""
        ids: list[int] = self.index.image_ids[self.rows].tolist()
        return ids

    @property
    def annotation_file(self) -> Path:
        """The file that the records were read from."""
        return self.index.path

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        return self.read(index)

    def read(self, index: int, out: NDArray[np.uint8] | None = None) -> tuple[Tensor, Target]:
        """Return a sample. If `out` is given (at least `3 * most_pixels()` bytes), the image is written into it."""
        row, size = int(self.rows[index]), self.size(index)
        decoded = self.pixels.read(row, size, out) if self.pixels else None
        return read_image(self.path(index), size, out) if decoded is None else decoded, self.target(index)

    def readable(self, indices: Iterable[int], count: int) -> list[int]:
        """Return the first `count` of these samples whose image can be read. The others are left out."""
        found: list[int] = []
        for index in indices:
            if len(found) == count:
                break
            with suppress(DataError):
                self.read(index)
                found.append(index)
        return found

    def most_pixels(self) -> int:
        """Return the area of the largest image in pixels. Images above `MAX_PIXELS` are refused and don't count."""
        areas = (self.index.widths * self.index.heights)[self.rows]
        return int(areas[areas <= MAX_PIXELS].max(initial=0))

    def file_name(self, index: int) -> str:
        """Return the image file of a sample, relative to the image folder."""
        return str(self.index.file_names[self.rows[index]])

    def path(self, index: int) -> Path:
        """Return the image file of a sample."""
        return self.image_folder / self.file_name(index)

    def size(self, index: int) -> Size:
        """Return (height, width) in pixels of a sample's image, as its record states it."""
        row = self.rows[index]
        return int(self.index.heights[row]), int(self.index.widths[row])

    @cached_property
    def targets(self) -> Targets:
        """The targets of all samples, computed when the first one is needed."""
        return Targets(self.index, self.rows)

    def target(self, index: int) -> Target:
        """Return the target of a sample without reading its image. Boxes without area in the image are left out."""
        return self.targets[index]

    def degenerate_boxes(self) -> int:
        """Count the boxes without width or height. Targets leave them out."""
        flat: Any = (self.index.boxes[:, 2:] <= 0).any(axis=1)
        return int(flat[np.isin(self.index.image_rows, self.rows)].sum())

    def with_pixels(self) -> "CocoDataset":
        """Return the same data set, read from decoded images. They are written to the cache if they aren't there."""
        return replace(self, pixels=decode_all(self.annotation_file, self.image_folder, self.index))

    def with_classes(self, categories: Sequence[Category]) -> "CocoDataset":
        """Return the same data set with the classes of a detector, matched by name; see `match_classes`."""
        return replace(self, index=match_classes(self.index, categories))

    def head(self, count: int) -> "CocoDataset":
        """Return the first `count` images, or all if there are fewer."""
        return replace(self, rows=self.rows[:count])

    def first(self, count: int) -> "CocoDataset":
        """Return the first `count` images that contain at least one object.

        Raises:
            ConfigError: `count` is not positive, or there are fewer such images.
        """
        if count < 1:
            raise ConfigError(f"{count} images: choose at least 1.")
        single = ~self.index.is_crowd & (self.index.boxes[:, 2:] > 0).all(axis=1)
        rows = self.rows[np.isin(self.rows, self.index.image_rows[single])]
        if len(rows) < count:
            raise ConfigError(
                f"{self.annotation_file}: has {len(rows)} images with boxes, but {count} were requested. Choose fewer."
            )
        return replace(self, rows=rows[:count])

    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        """Return the records of these images as a dict in COCO's format, with all their boxes, crowds included."""
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
        index, rows = self.index, self.index.rows_of(row)
        columns = (index.annotation_ids, index.category_ids, index.boxes, index.areas, index.is_crowd)
        names = ("id", "category_id", "bbox", "area", "iscrowd")
        records = zip(*(column[rows].tolist() for column in columns), strict=True)
        image = {"image_id": int(index.image_ids[row])}
        return [image | dict(zip(names, values, strict=True)) | {"iscrowd": int(values[-1])} for values in records]


def collate(samples: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Return samples as a list of images and a list of targets. Images of different sizes can't be stacked."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)
