"""Detections in COCO's result format as arrays: the form in which they are checked and scored."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

BROKEN = (KeyError, TypeError, ValueError, OverflowError)  # what `columns_of` raises for malformed records
Records = Sequence[Mapping[str, Any]]


class Columns(NamedTuple):
    """N detections as arrays.

    Attributes:
        image_ids, category_ids: (N,) int64, COCO's ids.
        boxes: (N, 4) float64, left, top, width, height in pixels of the original image.
        scores: (N,) float64, from 0 to 1.
    """

    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


class _Row(msgspec.Struct, gc=False):
    """A detection as it is decoded, with the types that it must have."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float


def columns_of(results: Records | Columns) -> Columns:
    """Return results as arrays. Their values are not checked.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: a record is malformed, or the arrays are not those of `Columns`.
    """
    if isinstance(results, Columns):
        return _checked_arrays(results)
    return _gathered(results, itemgetter)


def typed_columns(results: Records) -> Columns | None:
    """Return the arrays if all types are exactly right, else None; NumPy accepts 4.7, "4" and None as numbers, too."""
    try:
        boxes = list(map(itemgetter("bbox"), results))
        ids = {type(record[name]) for record in results for name in ("image_id", "category_id")}
        numbers = set(map(type, map(itemgetter("score"), results))) | set(map(type, chain.from_iterable(boxes)))
        plain = ids <= {int} and numbers <= {int, float} and set(map(len, boxes)) <= {4}
        return columns_of(results) if plain and set(map(type, results)) <= {dict} else None
    except BROKEN:
        return None


def decoded_columns(content: bytes) -> Columns | None:
    """Decode a JSON list of results. None if it isn't one, or a type isn't exactly right."""
    try:
        with garbage_collection_paused():
            return _gathered(msgspec.json.decode(content, type=list[_Row]), attrgetter)
    except (*BROKEN, msgspec.DecodeError, RecursionError):
        return None


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Decode without collecting garbage: JSON has no cycles, and looking for them takes three times as long as it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _gathered(rows: Sequence[Any], getter: Any) -> Columns:
    count = len(rows)
    numbers = chain.from_iterable(map(getter("bbox"), rows))
    return Columns(
        np.fromiter(map(getter("image_id"), rows), np.int64, count),
        np.fromiter(map(getter("category_id"), rows), np.int64, count),
        np.fromiter(numbers, np.float64, 4 * count).reshape(-1, 4),
        np.fromiter(map(getter("score"), rows), np.float64, count),
    )


def _checked_arrays(columns: Columns) -> Columns:
    """Return the same columns with the types of `Columns`.

    Raises:
        ValueError: the shapes don't fit, or a type isn't a number's, or ids aren't whole numbers.
    """
    arrays = [np.asarray(column) for column in columns]
    count = arrays[-1].size
    shapes, kinds = ((count,), (count,), (count, 4), (count,)), ("iu", "iu", "iuf", "iuf")
    if any(array.shape != shape for array, shape in zip(arrays, shapes, strict=True)) or any(
        count and array.dtype.kind not in kind for array, kind in zip(arrays, kinds, strict=True)
    ):
        found = [
            f"{name} {array.dtype}{list(array.shape)}" for name, array in zip(columns._fields, arrays, strict=True)
        ]
        raise ValueError(
            "expected arrays: image_ids and category_ids of N whole numbers, boxes (N, 4), and N scores; "
            f"got {', '.join(found)}"
        )
    image_ids, category_ids, boxes, scores = arrays
    return Columns(image_ids.astype(np.int64), category_ids.astype(np.int64), boxes.astype(float), scores.astype(float))
