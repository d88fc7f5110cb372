"""Read an annotation file record by record, as export tools write them.

A number that is written as text or with a decimal point is taken where it is exact, and what training doesn't need may
be anything. What can't be used becomes a fault, with its reason.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from coursekit.core.errors import DataError
from coursekit.data.not_coco_json import broken, foreign, kind_of
from coursekit.data.record_fields import READERS, RecordError, whole_number, without_box

Followers = dict[tuple[str, Any], int]
# The fields that each kind of record takes from the file.
_FIELDS: dict[str, tuple[str, ...]] = {
    "images": ("id", "file_name", "width", "height", "license", "coco_url"),
    "categories": ("id", "name", "supercategory"),
    "annotations": ("image_id", "category_id", "bbox", "id", "area", "iscrowd"),
}
_REFERENCES = (("image_id", "images"), ("category_id", "categories"))


class Fault(msgspec.Struct, frozen=True):
    """A record that can't be used.

    Attributes:
        part: its list.
        position: its position in that list, from 0.
        reason: the same words for all faults of a kind.
        detail: what tells this fault from others of its kind: a value, an id.
        key: the id of the record, as far as it has one.
        annotations: the number of annotations that are left out because of it.
    """

    part: str
    position: int
    reason: str
    detail: str = ""
    key: Any = None
    annotations: int = 0

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        plural = "annotation is" if self.annotations == 1 else "annotations are"
        followers = f"; {self.annotations:,} {plural} left out with it" if self.annotations else ""
        return f"{self.part}[{self.position}]: {self.reason}{detail}{followers}"


def parse(path: Path, content: bytes) -> dict[str, Any]:
    """Parse a file in any encoding of Unicode, NaN and Infinity included.

    Raises:
        DataError: it isn't JSON, or not an object.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{path}: broken JSON: {broken(content, error)}") from None
    if not isinstance(parsed, dict):
        raise DataError(
            f"{path}: not COCO's format. It must be an object with the lists images, annotations and categories, "
            f"but it is {kind_of(parsed)}.{foreign(parsed)}"
        )
    return parsed


def items_of(path: Path, parsed: dict[str, Any], part: str) -> list[Any]:
    """Return one of the three lists.

    Raises:
        DataError: it is missing, or not a list.
    """
    items = parsed.get(part)
    if isinstance(items, list):
        return items
    problem = f"is {kind_of(items)}" if part in parsed else "is missing"
    hint = foreign(parsed) or " Export the file in COCO's format."
    raise DataError(f"{path}: not COCO's format: the list `{part}` {problem}.{hint}")


def convert(items: list[Any], part: str, kind: Any, faults: list[Fault], followers: Followers) -> list[Any]:
    """Convert one of the lists to records of a kind. Faulty records are None.

    Args:
        items: the list as parsed.
        part: its name.
        kind: the struct.
        faults: new faults are appended to it. Annotations need those of images and categories.
        followers: counts annotations that are faulty and whose image or class is, too.
    """
    dropped = {(fault.part, fault.key) for fault in faults if fault.key is not None}
    records = []
    for position, item in enumerate(items):
        try:
            records.append(_record(item, part, kind))
        except (RecordError, OverflowError) as error:
            records.append(None)
            owner = _owner(item, dropped) if part == "annotations" else None
            if owner:
                followers[owner] = followers.get(owner, 0) + 1
            else:
                faults.append(_fault(part, position, item, error))
    return records


def _record(item: Any, part: str, kind: Any) -> Any:
    if not isinstance(item, dict):
        raise RecordError(f"it is {kind_of(item)}, not an object")
    if part == "annotations" and item.get("bbox") is None:
        raise RecordError(without_box(item))
    fields = {name: READERS[part, name](item, name) for name in _FIELDS[part]}
    if "segmentation" in kind.__struct_fields__ and "segmentation" in item:
        fields["segmentation"] = msgspec.Raw(json.dumps(item["segmentation"]).encode())
    return kind(**fields)


def _fault(part: str, position: int, item: Any, error: Exception) -> Fault:
    key = _key(item.get("id")) if isinstance(item, dict) else None
    reason, detail = getattr(error, "reason", str(error)), getattr(error, "detail", "")
    named = f"id {key}" if isinstance(key, int) else ""
    return Fault(part, position, reason, ", ".join(filter(None, (detail, named))), key)


def _owner(item: Any, dropped: set[tuple[str, Any]]) -> tuple[str, Any] | None:
    """Return the part and id of the faulty image or class that an annotation belongs to, if that is so."""
    if not isinstance(item, dict):
        return None
    owners = ((part, _key(item.get(name))) for name, part in _REFERENCES)
    return next((owner for owner in owners if owner in dropped), None)


def _key(value: object) -> int | str | None:
    """Return what records refer to each other by: a whole number, or a text that isn't one."""
    try:
        return whole_number(value)
    except RecordError:
        return value if isinstance(value, str) else None
