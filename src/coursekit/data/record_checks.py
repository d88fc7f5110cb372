"""Which records of an annotation file can be used, and what is wrong with the others."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.records import Category, Fault, Image, Records

MOST_SHOWN = 10  # faults in a message
Test = tuple[NDArray[np.bool_], str]  # (N,) where a record fails, and the reason


def is_safe_name(name: str) -> bool:
    """Return whether a file name can't leave its folder on any operating system."""
    return bool(name.strip(". ")) and name.isprintable() and not any(character in name for character in "/\\:")


def usable_images(path: Path, records: Records, faults: list[Fault]) -> list[Image]:
    """Return the images that can be used, and append the faults of the others to `faults`.

    Raises:
        DataError: two images share an id, or no usable image is left.
    """
    images = [image for image in records.images if image is not None]
    # One test of all names together is fast, and almost always enough.
    if not is_safe_name("".join(image.file_name or "/" for image in images)):
        for position, image in enumerate(records.images):
            if image is not None and not is_safe_name(image.file_name):
                faults.append(Fault("images", position, f"file name {image.file_name!r} leaves its folder"))
        images = [image for image in images if is_safe_name(image.file_name)]
    if not images:
        reasons = f"\n{listed(faults)}" if faults else " A data set needs at least one image."
        raise DataError(f"{path}: `images` has no usable record.{reasons}")
    _refuse_duplicates(path, "images", [image.id for image in images])
    return images


def usable_categories(path: Path, records: Records) -> list[Category]:
    """Return the categories that can be used, sorted by id.

    Raises:
        DataError: two categories share an id, or no usable category is left.
    """
    categories = [category for category in records.categories if category is not None]
    if not categories:
        raise DataError(f"{path}: `categories` has no usable record. A data set needs at least one class.")
    _refuse_duplicates(path, "categories", [category.id for category in categories])
    return sorted(categories, key=attrgetter("id"))


def _refuse_duplicates(path: Path, part: str, ids: list[int]) -> None:
    values, counts = np.unique(np.array(ids), return_counts=True)
    duplicates = values[counts > 1].tolist()
    if duplicates:
        shown = ", ".join(map(str, duplicates[:MOST_SHOWN]))
        raise DataError(f"{path}: `{part}`: ids that occur more than once: {shown}. Give each record its own id.")


def is_repeated(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) bool: whether each id occurred earlier."""
    repeated = np.zeros(len(ids), bool)
    if len(ids) and not (np.diff(np.sort(ids)) > 0).all():
        repeated[:] = True
        repeated[np.unique(ids, return_index=True)[1]] = False
    return repeated


def passing(
    tests: Sequence[Test], ids: NDArray[np.int64], positions: NDArray[np.intp] | None, faults: list[Fault]
) -> NDArray[np.intp]:
    """Return the rows of the annotations that pass all tests. The others become faults, each with its first reason.

    Args:
        tests: (N,) each.
        ids: (N,) of the annotations.
        positions: (N,) in the file; None if they equal the rows.
        faults: new faults are appended to it.
    """
    bad = np.zeros(len(ids), bool)
    for failed, reason in tests:
        for row in np.flatnonzero(failed & ~bad).tolist():
            position = row if positions is None else int(positions[row])
            faults.append(Fault("annotations", position, f"{reason} (id {ids[row]})"))
        bad |= failed
    return np.flatnonzero(~bad)


def listed(faults: list[Fault]) -> str:
    """Return the first faults, one per line, and the number of the others."""
    lines = [f"  {fault}" for fault in faults[:MOST_SHOWN]]
    more = len(faults) - MOST_SHOWN
    return "\n".join(lines + ([f"  and {more} more"] if more > 0 else []))
