"""The index of a COCO annotation file: flat arrays, fast to search, and shared by all loader workers without a copy."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError, DataError, did_you_mean
from coursekit.data.annotation_columns import column
from coursekit.data.annotation_file import read_records
from coursekit.data.index_cache import Place
from coursekit.data.record_checks import (
    Followed,
    Test,
    annotation_tests,
    listed,
    passing,
    sorted_faults,
    usable_categories,
    usable_images,
)
from coursekit.data.record_fields import license_number
from coursekit.data.records import Category, Image, Records
from coursekit.data.suspicious_annotations import complete, conventions, names, shortage
from coursekit.data.tolerant_records import Fault

Rows = NDArray[np.intp]  # positions in an array


@dataclass(frozen=True)
class CocoIndex:
    """A COCO annotation file as arrays. Images are in the order of the file, boxes in the order of their images.

    The boxes of the image in row i are those from `offsets[i]` to `offsets[i + 1]`; an image may have none.

    Attributes:
        path: the file.
        categories: sorted by COCO's id.
        image_ids, widths, heights, licenses: (I,) int64. file_names, urls: (I,) text.
        offsets: (I + 1,) int64.
        boxes: (N, 4) float64, left, top, width, height in pixels, as in the file.
        areas: (N,) float64, in square pixels, as in the file; width × height where the file has none.
        category_ids, annotation_ids: (N,) int64. is_crowd: (N,) bool.
        faults: the records that were left out.
        remarks: sentences about what can be used, but perhaps doesn't mean what it seems to.
        segmentations: N texts, as in the file; None if `load` wasn't asked for them.
    """

    path: Path
    categories: list[Category]
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    urls: NDArray[np.str_]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    licenses: NDArray[np.int64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    category_ids: NDArray[np.int64]
    annotation_ids: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    segmentations: list[bytes] | None = None

    @classmethod
    def load(cls, path: str | Path, *, segmentation: bool = False) -> "CocoIndex":
        """Read an annotation file of any size. Leave out faulty records, and list them in one warning.

        Another warning is given for each remark. The index of a large file is kept in the cache: see `index_cache`.

        Raises:
            DataError: the file is missing or broken, two images or two classes share an id (so it isn't clear whose the
                boxes are), or no usable record is left.
        """
        path = Path(path)
        place = None if segmentation else Place.of(path)
        kept = place.read() if place else None
        index = cls(path=path, **kept) if kept else _read(path, segmentation=segmentation)
        if place and not kept:
            place.write(path, vars(index))
        if index.faults:
            warnings.warn(f"{path}: left out records that can't be used:\n{listed(index.faults)}", stacklevel=2)
        for remark in index.remarks:
            warnings.warn(f"{path}: {remark}", stacklevel=2)
        return index

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows_of(self, image_row: int) -> slice:
        """Return the rows of an image's boxes in the arrays of boxes."""
        return slice(int(self.offsets[image_row]), int(self.offsets[image_row + 1]))

    @property
    def image_rows(self) -> Rows:
        """The row of each box's image, (N,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def image_sizes(self) -> NDArray[np.int64]:
        """The (width, height) of each box's image, (N, 2)."""
        return np.stack([self.widths, self.heights], axis=1)[self.image_rows]

    @property
    def is_trainable(self) -> NDArray[np.bool_]:
        """Whether each box is of a single object, and has an area in its image: (N,)."""
        start, size = self.boxes[:, :2], self.boxes[:, 2:]
        inside = (start + size > 0) & (start < self.image_sizes) & (size > 0)
        trainable: NDArray[np.bool_] = ~self.is_crowd & inside.all(axis=1)
        return trainable

    def require_boxes(self, rows: Rows | None = None) -> None:
        """Check that there is a box to train on or to score, in all images or in those of some rows.

        Raises:
            DataError: there is none. The message says why.
        """
        trainable = self.is_trainable
        if not trainable.any():
            flat = ~self.is_crowd & (self.boxes[:, 2:] <= 0).any(axis=1)
            unused = {
                "it is a crowd region": int(self.is_crowd.sum()),
                "its bbox has no width or no height": int(flat.sum()),
                "its bbox is outside its image": int((~self.is_crowd & ~flat).sum()),
            }
            raise DataError(shortage(self.path, self.faults, unused))
        if rows is not None and not np.isin(self.image_rows[trainable], rows).any():
            raise DataError(f"{self.path}: none of the {len(rows):,} chosen images has a box. Choose others, or more.")

    def ids_of(self, classes: Iterable[str]) -> list[int]:
        """Return COCO's ids of classes by name.

        Raises:
            ConfigError: the file has no such class. The message suggests the most similar name.
        """
        known = {category.name: category.id for category in self.categories}
        for name in classes:
            if name not in known:
                raise ConfigError(f"{self.path}: no class {name!r}{did_you_mean(name, known)}.")
        return [known[name] for name in classes]

    def images_with(
        self,
        *,
        any_of: Sequence[str] = (),
        all_of: Sequence[str] = (),
        sizes: tuple[float, float] | None = None,
        boxes: tuple[float, float] | None = None,
    ) -> Rows:
        """Return the rows of the images that satisfy all given conditions.

        Args:
            any_of: at least one box of one of these classes.
            all_of: at least one box of each of these classes.
            sizes: at least one box with √(width · height) in this range of pixels, both ends included.
            boxes: the number of boxes, without crowds, is in this range, both ends included.
        """
        chosen = np.ones(len(self), bool)
        if any_of:
            chosen &= self._has(np.isin(self.category_ids, self.ids_of(any_of)))
        for id_ in self.ids_of(all_of):
            chosen &= self._has(self.category_ids == id_)
        if sizes is not None:
            side = np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])
            chosen &= self._has((side >= sizes[0]) & (side <= sizes[1]))
        if boxes is not None:
            count = np.bincount(self.image_rows[~self.is_crowd], minlength=len(self))
            chosen &= (count >= boxes[0]) & (count <= boxes[1])
        return np.flatnonzero(chosen)

    def _has(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (I,) bool: whether each image has at least one of the wanted boxes."""
        return np.bincount(self.image_rows[wanted], minlength=len(self)) > 0


def _read(path: Path, *, segmentation: bool) -> CocoIndex:
    records = read_records(path, segmentation=segmentation)
    faults = list(records.faults)
    images = usable_images(path, records, faults)
    categories = usable_categories(path, records, faults)
    index = _arrange(path, images, categories, records, faults)
    index.remarks.extend(conventions(index.boxes, *index.image_sizes.T))
    index.remarks.extend(names([category.name for category in categories], index.file_names.tolist()))
    return index


def _lookup(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[Rows, NDArray[np.bool_]]:
    """Return the row in `ids` of each wanted id, and whether it is there at all."""
    low, high = int(ids.min()), int(ids.max())
    if high - low < 100 * len(ids) + 10_000:  # a table of all ids in between is ten times as fast as a search
        table = np.zeros(high - low + 1, np.intp)
        table[ids - low] = np.arange(len(ids))
        rows = table[np.clip(wanted, low, high) - low]
        return rows, ids[rows] == wanted
    order = np.argsort(ids, kind="stable")
    rows = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return rows, ids[rows] == wanted


def _arrange(
    path: Path, images: list[Image], categories: list[Category], records: Records, faults: list[Fault]
) -> CocoIndex:
    """Build the arrays, without the annotations that can't be used."""
    annotations = records.annotations
    columns, ids = annotations.columns, annotations.image_ids
    image_rows, has_image = _lookup(column(images, "id", np.int64), ids)
    has_class = _lookup(np.array([category.id for category in categories]), columns["category_ids"])[1]
    followers = Followed(records, faults)
    follows = followers.of("images", ids, ~has_image)
    follows |= followers.of("categories", columns["category_ids"], ~has_class & ~follows)
    tests = [
        Test(follows, ""),
        Test(~has_image, "its image_id is not among the images", "image_id", ids),
        Test(~has_class, "its category_id is not among the categories", "category_id", columns["category_ids"]),
        *annotation_tests(columns, ids),
    ]
    good = passing(tests, columns["annotation_ids"], annotations.positions, faults)
    order = np.sort(image_rows[good] * len(ids) + good) % max(1, len(ids))  # faster than a stable argsort
    columns = {name: values.take(order, axis=0) for name, values in columns.items()}
    remarks, outlines = complete(columns), annotations.segmentations
    return CocoIndex(
        path=path,
        categories=categories,
        **_image_columns(images),
        offsets=np.concatenate([[0], np.bincount(image_rows[good], minlength=len(images)).cumsum()]),
        **columns,
        faults=sorted_faults(followers.counted(faults)),
        remarks=remarks,
        segmentations=outlines and [outlines[row] for row in order],
    )


def _image_columns(images: list[Image]) -> dict[str, Any]:
    return {
        "image_ids": column(images, "id", np.int64),
        "file_names": np.array([image.file_name for image in images]),
        "urls": np.array([image.coco_url if isinstance(image.coco_url, str) else "" for image in images]),
        "widths": column(images, "width", np.int64),
        "heights": column(images, "height", np.int64),
        "licenses": _license_numbers([image.license for image in images]),
    }


def _license_numbers(values: list[Any]) -> NDArray[np.int64]:
    """Return the numbers of licenses, of which there are few."""
    if {*map(type, values)} <= {int, str, NoneType}:
        numbers = {value: license_number(value) for value in set(values)}
        return np.array([numbers[value] for value in values])
    return np.array([license_number(value) for value in values])
