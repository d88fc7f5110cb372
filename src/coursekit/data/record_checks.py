"""Which records of an annotation file can be used, and what is wrong with the others."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.file_names import are_plain, clean_name, name_fault
from coursekit.data.record_fields import MISSING
from coursekit.data.records import Category, Grouped, Image, Records
from coursekit.data.tolerant_records import Fault

MOST_SHOWN = 10  # faults in a message
MOST_REASONS = 5
PARTS = ("images", "categories", "annotations")  # what is missing in one explains what is missing in the next


class Test(NamedTuple):
    """A check of all annotations: (N,) where they fail, the reason, and (N,) the values to show, with their name."""

    failed: NDArray[np.bool_]
    reason: str
    name: str = ""
    values: NDArray[np.int64] | None = None


def is_safe_name(name: str) -> bool:
    """Return whether a file name can't leave its folder on any operating system."""
    return bool(name.strip(". ")) and name.isprintable() and not any(character in name for character in "/\\:")


def usable_images(path: Path, records: Records, faults: list[Fault]) -> list[Image]:
    """Return the images that can be used, and append the faults of the others to `faults`.

    Their file names get the form of `clean_name`.

    Raises:
        DataError: two images share an id, or no usable image is left.
    """
    whole = [image for image in records.images if image is not None]
    plain = are_plain([image.file_name for image in whole])
    images = whole if plain else list(_with_clean_names(records.images, faults))
    if not images:
        reasons = f"\n{listed(faults)}" if faults else " A data set needs at least one image."
        raise DataError(f"{path}: `images` has no usable record.{reasons}")
    _refuse_duplicates(path, "images", [image.id for image in images])
    return images


def _with_clean_names(images: Iterable[Image | None], faults: list[Fault]) -> Iterator[Image]:
    for position, image in enumerate(images):
        if image is None:
            continue
        if reason := name_fault(image.file_name):
            detail = f"{image.file_name!r}, id {image.id}"
            faults.append(Fault("images", position, f"its file_name {reason}", detail, image.id))
            continue
        name = clean_name(image.file_name)
        yield image if name == image.file_name else msgspec.structs.replace(image, file_name=name)


def usable_categories(path: Path, records: Records, faults: list[Fault]) -> list[Category]:
    """Return the categories that can be used, sorted by id, and append the faults of the others to `faults`.

    White space around a name doesn't count.

    Raises:
        DataError: two categories share an id, or no usable category is left.
    """
    categories = []
    for position, category in enumerate(records.categories):
        reason = _fault_of_name(category.name) if category else ""
        if category and reason:
            faults.append(Fault("categories", position, reason, f"id {category.id}", category.id))
        elif category:
            categories.append(msgspec.structs.replace(category, name=category.name.strip()))
    if not categories:
        mine = [fault for fault in faults if fault.part == "categories"]
        reasons = f"\n{listed(mine)}" if mine else " A data set needs at least one class."
        raise DataError(f"{path}: `categories` has no usable record.{reasons}")
    _refuse_duplicates(path, "categories", [category.id for category in categories])
    kept = [category for category in categories if not _is_group(category, categories, records)]
    return [Category(category.id, category.name) for category in sorted(kept, key=attrgetter("id"))]


def _fault_of_name(name: str) -> str:
    if not name.strip():
        return "its name is empty"
    return "its name isn't valid Unicode" if any("\ud800" <= character <= "\udfff" for character in name) else ""


def _is_group(category: Grouped, categories: list[Grouped], records: Records) -> bool:
    """Return whether a category is only the group of the others, and shares its name with one of them.

    Roboflow writes such a category 0 without boxes, and it would make the name ambiguous.
    """
    others = [other for other in categories if other.id != category.id]
    if all(other.name != category.name for other in others):
        return False
    groups = {str(other.supercategory).strip() for other in others}
    if groups != {category.name} or category.supercategory == category.name:
        return False
    return category.id not in records.annotations.columns["category_ids"]


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


def annotation_tests(columns: dict[str, Any], image_ids: NDArray[np.int64]) -> list[Test]:
    """Return the checks of the annotations themselves."""
    boxes = columns["boxes"]
    return [
        Test(_same_as_earlier(columns, image_ids), "it is the same as an earlier record"),
        Test((boxes[:, 2] < 0) | (boxes[:, 3] < 0), "its bbox has a negative width or height"),
    ]


def _same_as_earlier(columns: dict[str, Any], image_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) bool: whether an earlier annotation has the same id, image, class and box."""
    ids = columns["annotation_ids"]
    same = is_repeated(ids) & (ids != MISSING)
    if same.any():
        rows = np.flatnonzero(np.isin(ids, ids[same]))
        records = np.column_stack([ids, image_ids, columns["category_ids"], columns["boxes"].view(np.int64)])[rows]
        first = np.unique(records, axis=0, return_index=True)[1]
        same[:] = False
        same[rows] = True
        same[rows[first]] = False
    return same


def passing(
    tests: Sequence[Test], ids: NDArray[np.int64], positions: NDArray[np.intp] | None, faults: list[Fault]
) -> NDArray[np.intp]:
    """Return the rows of the annotations that pass all tests. The others become faults, each with its first reason.

    Args:
        tests: a test without a reason drops records that are counted elsewhere.
        ids: (N,) of the annotations.
        positions: (N,) in the file; None if they equal the rows.
        faults: new faults are appended to it.
    """
    bad = np.zeros(len(ids), bool)
    for test in tests:
        for row in np.flatnonzero(test.failed & ~bad).tolist() if test.reason else ():
            position = row if positions is None else int(positions[row])
            value = f"{test.name} {test.values[row]}" if test.values is not None else ""
            named = f"id {ids[row]}" if ids[row] != MISSING else ""
            faults.append(Fault("annotations", position, test.reason, ", ".join(filter(None, (value, named)))))
        bad |= test.failed
    return np.flatnonzero(~bad)


class Followed:
    """Counts the annotations that are left out because their image or their class was, and so need no fault."""

    def __init__(self, records: Records, faults: list[Fault]) -> None:
        self.counts = dict(records.followers)
        self.keys = [(fault.part, _key(fault, records)) for fault in faults]

    def of(self, part: str, ids: NDArray[np.int64], is_unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (N,) bool: whether each unknown id is that of a record that was left out. Count these."""
        dropped = [key for owner, key in self.keys if owner == part and isinstance(key, int)]
        follows = is_unknown & np.isin(ids, np.array(dropped, np.int64))
        values, counts = np.unique(ids[follows], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self.counts[part, value] = self.counts.get((part, value), 0) + count
        return follows

    def counted(self, faults: list[Fault]) -> list[Fault]:
        """Return the faults with these counts. Faults that were added since the start own nothing."""
        keys = [*self.keys, *[None] * (len(faults) - len(self.keys))]
        return [
            msgspec.structs.replace(fault, annotations=self.counts.pop(key, 0) if key else 0)
            for fault, key in zip(faults, keys, strict=True)
        ]


def _key(fault: Fault, records: Records) -> Any:
    """Return the id of a faulty record, also of one that is only refused for what it says."""
    record = None if fault.part == "annotations" else getattr(records, fault.part)[fault.position]
    return fault.key if record is None else record.id


def sorted_faults(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults in the order of the parts, then of their positions."""
    return sorted(faults, key=lambda fault: (PARTS.index(fault.part), fault.position))


def listed(faults: list[Fault]) -> str:
    """Return the first faults, one per line, and the number of the others by reason."""
    faults = sorted_faults(faults)
    lines = [f"  {fault}" for fault in faults[:MOST_SHOWN]]
    rest = faults[MOST_SHOWN:]
    return "\n".join(lines + ([f"  and {len(rest):,} more: {counted(rest)}"] if rest else []))


def counted(faults: Iterable[Fault]) -> str:
    """Return the number of faults by part and reason, the most frequent first."""
    counts = Counter((fault.part, fault.reason) for fault in faults).most_common()
    shown = [f"{count:,} × `{part}`: {reason}" for (part, reason), count in counts[:MOST_REASONS]]
    return "; ".join(shown + (["…"] if len(counts) > MOST_REASONS else []))
