"""Detections in COCO's result format: read from a file, and checked."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import Rows
from coursekit.data.record_fields import RecordError, whole_number
from coursekit.data.records import Category
from coursekit.evaluation.columns import (
    BROKEN,
    Columns,
    columns_of,
    decoded_columns,
    garbage_collection_paused,
    typed_columns,
)

_MAX_SHOWN = 10


class Result(TypedDict):
    """One detection in COCO's format: the box is (left, top, width, height) in pixels of the original image."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


def read_results(path: str | Path, dataset: CocoDataset) -> list[Result]:
    """Read detections from a COCO results file, a JSON list of objects. Other fields are dropped.

    Raises:
        DataError: the file is missing, empty or not JSON, or as for `check_results`.
    """
    results = _decoded(path, _content(Path(path)))
    check_results(results, dataset, str(path))
    return results


def read_columns(path: str | Path, dataset: CocoDataset) -> Columns:
    """Read detections as `read_results` does, as arrays: that takes a third of the time. Errors are the same."""
    content = _content(Path(path))
    columns = decoded_columns(content)
    return checked_columns(_decoded(path, content) if columns is None else columns, dataset, str(path))


def with_ids_of(results: list[Result], ours: Sequence[Category], theirs: Sequence[Category]) -> list[Result]:
    """Return results with the ids of other categories, matched by name. Those of classes that aren't there are dropped.

    Args:
        results: with the ids of `ours`.
        ours: the detector's categories.
        theirs: the data set's categories.
    """
    ids = {category.name.strip(): category.id for category in theirs}
    new = {category.id: ids[name] for category in ours if (name := category.name.strip()) in ids}
    if all(before == after for before, after in new.items()) and len(new) == len(ours):
        return results
    return [{**result, "category_id": new[id_]} for result in results if (id_ := result["category_id"]) in new]


def check_results(results: list[Result] | Columns, dataset: CocoDataset, name: str) -> None:
    """Check that results can be scored. An empty list is valid: nothing was detected.

    Boxes may be empty or outside their image, as COCO allows; negative widths and heights are faults.

    Args:
        results: in COCO's format, or as arrays.
        dataset: has the images and classes that they must be about.
        name: what the message calls the results, for example the file.

    Raises:
        DataError: one for all faults, with the positions (from 0) and the reasons of the first ten.
    """
    checked_columns(results, dataset, name)


def checked_columns(results: list[Result] | Columns, dataset: CocoDataset, name: str) -> Columns:
    """Check results, and return them as arrays. Arguments and errors are those of `check_results`."""
    if not isinstance(results, list | Columns):
        raise DataError(f"{name}: expected a list of detections in COCO's format, got {_kind(results)}.")
    columns, faults = _faults(results, dataset, name)
    if not faults:
        return columns
    count = len(columns.scores) if isinstance(results, Columns) else len(results)
    lines = [f"  [{position}]: {reason}" for position, reason in sorted(faults.items())[:_MAX_SHOWN]]
    more = [f"  and {len(faults) - _MAX_SHOWN} more"] if len(faults) > _MAX_SHOWN else []
    head = f"{name}: {len(faults)} of {count} detections can't be used. {_advice(faults, count, dataset)}"
    raise DataError("\n".join([head, *lines, *more]))


def first_fault(results: list[Result], name: str) -> str:
    """Return a message about the first record that is malformed or has a number that is not finite."""
    for position, record in enumerate(results):
        reason = _malformed(record) or _not_finite(record)
        if reason:
            return f"{name}[{position}]: {reason}. Write it in COCO's format, as `predict_dataset` does."
    return f"{name}: expected a list of detections in COCO's format, got {_kind(results)}."


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such results file. Pass one in COCO's format.") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Check the path and its permissions.") from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty. Write it again; without detections it contains [].")
    return content


def _decoded(path: str | Path, content: bytes) -> list[Result]:
    try:
        with garbage_collection_paused():
            results: list[Result] = msgspec.json.decode(content, type=list[Result])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # also for NaN: read again to say where
        return _with_whole_ids(_decode_slowly(path, content))
    return results


def _decode_slowly(path: str | Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is also a ValueError
        raise DataError(f"{path}: broken JSON: {error}. Write the file again.") from None


def _with_whole_ids(results: Any) -> Any:
    """Return parsed results with ids as numbers where the file has them as text, as annotation files may."""
    for record in results if isinstance(results, list) else ():
        for name in ("image_id", "category_id") if isinstance(record, dict) else ():
            if isinstance(record.get(name), str):
                with suppress(RecordError):
                    record[name] = whole_number(record[name])
    return results


def _faults(results: list[Result] | Columns, dataset: CocoDataset, name: str) -> tuple[Columns, dict[int, str]]:
    """Return the arrays of the records that are well-formed, and the first reason for each faulty position."""
    columns, faults = (_arrays(results, name), {}) if isinstance(results, Columns) else _well_formed(results)
    positions = np.delete(np.arange(len(columns.scores) + len(faults)), list(faults))
    for row, reason in _bad_values(columns, positions, dataset):
        faults.setdefault(int(positions[row]), reason)
    return columns, faults


def _well_formed(results: list[Result]) -> tuple[Columns, dict[int, str]]:
    """Return the arrays of the well-formed records, and what is wrong with the others, by position."""
    columns = typed_columns(results)
    if columns is not None:
        return columns, {}
    faults = {position: reason for position, record in enumerate(results) if (reason := _malformed(record))}
    return columns_of([record for position, record in enumerate(results) if position not in faults]), faults


def _arrays(columns: Columns, name: str) -> Columns:
    try:
        return columns_of(columns)
    except BROKEN as error:
        raise DataError(f"{name}: {error}.") from None


def _malformed(record: object) -> str:
    """Return what is wrong with the form of a record, or an empty text."""
    if not isinstance(record, dict):
        return f"{_kind(record)} instead of an object with image_id, category_id, bbox and score"
    missing = [name for name in Result.__annotations__ if name not in record]
    if missing:
        return f"{' and '.join(missing)} missing"
    for name in ("image_id", "category_id"):
        if not _is_id(record[name]):
            return f"{name} is {_shown(record[name])}, not a whole number"
    if not _is_box(record["bbox"]):
        return f"bbox is {_shown(record['bbox'])}, not four numbers"
    return "" if _is_number(record["score"]) else f"score is {_shown(record['score'])}, not a number"


def _not_finite(record: Result) -> str:
    """Return which number of a well-formed record is not finite, or an empty text."""
    for name, numbers in (("bbox", record["bbox"]), ("score", [record["score"]])):
        if not np.isfinite(numbers).all():
            return f"{name} is {_shown(record[name])}, not finite"  # type: ignore[literal-required]
    return ""


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
    except OverflowError:  # an integer beyond all floats
        return False
    return True


def _bad_values(columns: Columns, positions: Rows, dataset: CocoDataset) -> Iterator[tuple[int, str]]:
    """Yield row and reason for each invalid value."""
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
        yield row, f"the same detection as [{positions[first]}]"


def _repeats(columns: Columns) -> Iterator[tuple[int, int]]:
    """Yield the rows that equal an earlier one in all fields, each with the first such row."""
    keys = (*columns.boxes.T, columns.category_ids, columns.image_ids, columns.scores)
    rows = _candidates(keys)
    keys = tuple(key[rows] for key in keys)
    order = np.lexsort(keys)  # stable: the first of equal rows stays first
    same = np.ones(max(0, len(order) - 1), bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    first = -1
    for row in np.flatnonzero(same).tolist():
        if row == 0 or not same[row - 1]:
            first = int(rows[order[row]])
        yield int(rows[order[row + 1]]), first


def _candidates(keys: Sequence[NDArray[Any]]) -> Rows:
    """Return the rows that may equal another: a mix of all fields occurs twice. One sort instead of seven."""
    with np.errstate(all="ignore"):  # invalid values
        mixed = sum((key * 0.7**power for power, key in enumerate(keys)), np.zeros(len(keys[0])))
    ordered = np.sort(mixed)
    return np.flatnonzero(np.isin(mixed, ordered[1:][ordered[1:] == ordered[:-1]]))


def _advice(faults: dict[int, str], count: int, dataset: CocoDataset) -> str:
    unknown = sum(reason.startswith("image_id") and "not among" in reason for reason in faults.values())
    if 2 * unknown <= count:
        return "Fix or remove them:"
    return (
        f"{unknown} are of images that {dataset.annotation_file} (or the part of it that is scored) doesn't have: "
        "they look like results of another data set or split. Score them against the one that they were made on:"
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
