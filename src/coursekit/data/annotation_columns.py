"""Annotations as columns: what a list of records and a large file read in pieces both become."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.record_fields import LARGEST_EXACT, MISSING

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Annotations:
    """The annotations whose fields have the right types: N rows, in the order of the file.

    Attributes:
        image_ids: (N,) int64.
        columns: boxes (N, 4) and areas (N,) float64, NaN where the file has no area; category_ids and annotation_ids
            (N,) int64, MISSING where the file has no id; is_crowd (N,) bool.
        positions: (N,) of the rows in the file's list; None if they are 0 to N - 1.
        segmentations: N texts, as in the file; None if they weren't asked for, or if there is no row.
    """

    image_ids: NDArray[np.int64]
    columns: Columns
    positions: NDArray[np.intp] | None = None
    segmentations: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)


def column(records: Sequence[Any], name: str, dtype: Any) -> NDArray[Any]:
    """Return one field of all records."""
    return np.fromiter(map(attrgetter(name), records), dtype, count=len(records))


def from_records(records: Sequence[Any]) -> Annotations:
    """Return the columns of records. Those that are None are left out."""
    positions = None
    if any(record is None for record in records):
        positions = np.array([position for position, record in enumerate(records) if record is not None], np.intp)
        records = [records[position] for position in positions]
    numbers = chain.from_iterable(map(attrgetter("bbox"), records))
    columns = {
        "boxes": np.fromiter(numbers, np.float64, count=4 * len(records)).reshape(-1, 4),
        "areas": column(records, "area", np.float64),
        "category_ids": column(records, "category_id", np.int64),
        "annotation_ids": column(records, "id", np.int64),
        "is_crowd": column(records, "iscrowd", np.int64) != 0,
    }
    has_outlines = len(records) > 0 and hasattr(records[0], "segmentation")
    segmentations = [bytes(record.segmentation) for record in records] if has_outlines else None
    return Annotations(column(records, "image_id", np.int64), columns, positions, segmentations)


def from_numbers(numbers: NDArray[np.float64]) -> Annotations | None:
    """Return the columns of (9, N) numbers; None if an id isn't exact as a float, or `iscrowd` isn't 0 or 1.

    The rows are area, iscrowd, image_id, the four of bbox, category_id and id. A NaN is a missing id or area.
    """
    areas, crowd, image_ids, *_, category_ids, ids = numbers
    has_id = ~np.isnan(ids)
    if not (_are_whole(image_ids) and _are_whole(category_ids) and _are_whole(ids[has_id]) and _are_flags(crowd)):
        return None
    columns = {
        "boxes": np.ascontiguousarray(numbers[3:7].T),
        "areas": areas,
        "category_ids": category_ids.astype(np.int64),
        "annotation_ids": np.where(has_id, ids, MISSING).astype(np.int64),
        "is_crowd": crowd != 0,
    }
    return Annotations(image_ids.astype(np.int64), columns)


def _are_whole(ids: NDArray[np.float64]) -> bool:
    return bool(((np.abs(ids) < LARGEST_EXACT) & (ids == np.rint(ids))).all())


def _are_flags(values: NDArray[np.float64]) -> bool:
    return bool(((values == 0) | (values == 1)).all())
