"""Detections in COCO's result format: read from a file, checked, as arrays."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from numbers import Integral, Real
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import MOST_SHOWN

Places = NDArray[np.intp]  # positions in the list of results
BROKEN = (KeyError, TypeError, ValueError, OverflowError)  # what `columns_of` raises on records of another form


class Result(TypedDict):
    """One detection as COCO writes it: the box is (left, top, width, height) in pixels of the original image."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


class Columns(NamedTuple):
    """Results as arrays: (N,) int64, (N,) int64, (N, 4) float64 as left, top, width, height, (N,) float64."""

    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_]) -> "Columns":
        """Those of the results for which `chosen` (N,) holds."""
        return Columns(self.image_ids[chosen], self.category_ids[chosen], self.boxes[chosen], self.scores[chosen])


def read_results(path: str | Path, dataset: CocoDataset) -> list[Result]:
    """Detections from a COCO results file: a JSON list of objects; further fields of theirs are left out.

    Raises:
        DataError: the file is missing, empty or no JSON, or as for `check_results`.
    """
    content = _content(Path(path))
    try:
        results: list[Result] = msgspec.json.decode(content, type=list[Result])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # also for NaN: read again, to say where
        results = _decode_slowly(path, content)
    check_results(results, dataset, str(path))
    return results


def check_results(results: list[Result], dataset: CocoDataset, name: str) -> None:
    """Refuse results that can't be scored. An empty list is sound: nothing was found.

    Boxes may lie outside their image and be empty, as COCO allows; negative widths and heights are faults.

    Args:
        results: in COCO's format.
        dataset: what they must be about: its images, its classes.
        name: what the message calls them, for example the file.

    Raises:
        DataError: one for all faults, with the positions (from 0) and the reasons of the first ten.
    """
    if not isinstance(results, list):
        raise DataError(f"{name}: not COCO's results: a list of detections was expected, {_kind(results)} is there.")
    faults = _faults(results, dataset)
    if not faults:
        return
    lines = [f"  [{place}]: {reason}" for place, reason in sorted(faults.items())[:MOST_SHOWN]]
    more = [f"  and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
    head = f"{name}: {len(faults)} of {len(results)} detections can't be used. {_advice(faults, results, dataset)}"
    raise DataError("\n".join([head, *lines, *more]))


def columns_of(results: list[Result]) -> Columns:
    """Results as arrays, unchecked.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: where the records have another form.
    """
    count = len(results)
    numbers = chain.from_iterable(map(itemgetter("bbox"), results))
    return Columns(
        np.fromiter(map(itemgetter("image_id"), results), np.int64, count),
        np.fromiter(map(itemgetter("category_id"), results), np.int64, count),
        np.fromiter(numbers, np.float64, 4 * count).reshape(-1, 4),
        np.fromiter(map(itemgetter("score"), results), np.float64, count),
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such results file. Name one in COCO's format.") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty. Write it again; where nothing was found, it holds [].")
    return content


def _decode_slowly(path: str | Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError, too
        raise DataError(f"{path}: broken JSON: {error}. Write the file again.") from None


def _faults(results: list[Result], dataset: CocoDataset) -> dict[int, str]:
    """Position → its first reason."""
    faults: dict[int, str] = {}
    columns, places = _plain_columns(results), np.arange(len(results))
    if columns is None:
        faults = {place: reason for place, one in enumerate(results) if (reason := _misshapen(one))}
        places = np.array([place for place in range(len(results)) if place not in faults], np.intp)
        columns = columns_of([results[place] for place in places])
    for row, reason in _bad_values(columns, places, dataset):
        faults.setdefault(int(places[row]), reason)
    return faults


def _plain_columns(results: list[Result]) -> Columns | None:
    """The arrays where every record is just as it should be; NumPy would take 4.7, "4" or None for numbers, too."""
    try:
        boxes = list(map(itemgetter("bbox"), results))
        ids = {type(one[name]) for one in results for name in ("image_id", "category_id")}
        numbers = set(map(type, map(itemgetter("score"), results))) | set(map(type, chain.from_iterable(boxes)))
        plain = ids <= {int} and numbers <= {int, float} and set(map(len, boxes)) <= {4}
        return columns_of(results) if plain and set(map(type, results)) <= {dict} else None
    except BROKEN:
        return None


def _misshapen(one: object) -> str:
    """What is wrong with a record's form; empty where nothing is."""
    if not isinstance(one, dict):
        return f"{_kind(one)} instead of an object with image_id, category_id, bbox and score"
    missing = [name for name in Result.__annotations__ if name not in one]
    if missing:
        return f"{' and '.join(missing)} missing"
    for name in ("image_id", "category_id"):
        if not _is_id(one[name]):
            return f"{name} is {_shown(one[name])}, not a whole number"
    if not _is_box(one["bbox"]):
        return f"bbox is {_shown(one['bbox'])}, not four numbers"
    return "" if _is_number(one["score"]) else f"score is {_shown(one['score'])}, not a number"


def _is_id(value: object) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return (whole or (isinstance(value, float) and value.is_integer())) and -(2**63) <= value < 2**63  # type: ignore[operator]


def _is_box(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and len(value) == 4 and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
    return True


def _bad_values(columns: Columns, places: Places, dataset: CocoDataset) -> Iterator[tuple[int, str]]:
    """Row and reason of every value that can't be, all reasons of a row."""
    image_ids, category_ids, boxes, scores = columns
    for row in np.flatnonzero(~np.isin(image_ids, dataset.image_ids)).tolist():
        yield row, f"image_id {image_ids[row]} is not among the {len(dataset)} images"
    for row in np.flatnonzero(~np.isin(category_ids, dataset.category_ids)).tolist():
        yield row, f"category_id {category_ids[row]} is not among the categories"
    for row in np.flatnonzero(~np.isfinite(boxes).all(axis=1)).tolist():
        yield row, f"bbox {boxes[row].tolist()} has a number that is not finite"
    for row in np.flatnonzero((boxes[:, 2:] < 0).any(axis=1)).tolist():
        yield row, f"bbox {boxes[row].tolist()} has a negative width or height (COCO's is left, top, width, height)"
    for row in np.flatnonzero(~((scores >= 0) & (scores <= 1))).tolist():  # so NaN, too
        yield row, f"score {scores[row]} is not in 0 to 1"
    for row, first in _repeats(columns):
        yield row, f"the same detection as [{places[first]}]"


def _repeats(columns: Columns) -> Iterator[tuple[int, int]]:
    """Rows that are equal to an earlier one in every field, with the first such."""
    keys = (*columns.boxes.T, columns.category_ids, columns.image_ids, columns.scores)
    rows = _alike(keys)
    keys = tuple(key[rows] for key in keys)
    order = np.lexsort(keys)  # stable: of equals the first stays first
    same = np.ones(max(0, len(order) - 1), bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    first = -1
    for place in np.flatnonzero(same).tolist():
        if place == 0 or not same[place - 1]:
            first = int(rows[order[place]])
        yield int(rows[order[place + 1]]), first


def _alike(keys: Sequence[NDArray[Any]]) -> Places:
    """Rows that may have an equal: a mixture of all their fields occurs twice. One sort instead of seven."""
    with np.errstate(all="ignore"):  # of values that are faults themselves
        mixed = sum((key * 0.7**power for power, key in enumerate(keys)), np.zeros(len(keys[0])))
    ordered = np.sort(mixed)
    return np.flatnonzero(np.isin(mixed, ordered[1:][ordered[1:] == ordered[:-1]]))


def _advice(faults: dict[int, str], results: list[Result], dataset: CocoDataset) -> str:
    strangers = sum(reason.startswith("image_id") and "not among" in reason for reason in faults.values())
    if 2 * strangers <= len(results):
        return "Mend or remove them:"
    return (
        f"{strangers} are of images that {dataset.annotation_file} (or the part of it that is scored) does not have: "
        "these look like results of another data set or split. Score them against the one that they were made on:"
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
