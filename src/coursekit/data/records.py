"""COCO's annotation file as typed records of the fields we need, with the position of every fault.

A correct file is decoded in one pass. msgspec stops at the first wrong type, and rejects NaN. Such a file is read again
with `json`, record by record, so that all faults are reported together and the other records can be used.
"""

import json
import mmap
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from coursekit.core.errors import DataError

Id = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # fits an int64
Pixels = Annotated[int, msgspec.Meta(ge=1, le=2**20)]


class Image(msgspec.Struct, frozen=True, gc=False):
    """One photograph: `file_name` is relative to the split's folder, `width` and `height` are in pixels."""

    id: Id
    file_name: str
    width: Pixels
    height: Pixels
    license: int | None = None
    coco_url: str | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One object, or a region with many if `iscrowd` is 1. `bbox` is (left, top, width, height) in pixels."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0


class Segmented(Annotation, frozen=True, gc=False):
    """An annotation with its outline, as in the file: polygons, or a run-length encoding."""

    segmentation: msgspec.Raw = msgspec.Raw(b"[]")


class Category(msgspec.Struct, frozen=True):
    """A class. COCO's ids run from 1 to 90 with gaps, so they can't serve as labels for training."""

    id: Id
    name: str


class Fault(msgspec.Struct, frozen=True):
    """A record that can't be used: its list, its position in that list (from 0), and the reason."""

    part: str
    position: int
    reason: str

    def __str__(self) -> str:
        return f"{self.part}[{self.position}]: {self.reason}"


class Records(msgspec.Struct):
    """The whole file. Faulty records, listed in `faults`, are None so that positions stay the same."""

    images: list[Image | None]
    annotations: list[Annotation | None]
    categories: list[Category | None]
    faults: list[Fault] = []


class _File(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class _SegmentedFile(msgspec.Struct):
    images: list[Image]
    annotations: list[Segmented]
    categories: list[Category]


Record = TypeVar("Record", Image, Annotation, Category)


def read_records(path: Path, *, segmentation: bool = False) -> Records:
    """Read a COCO annotation file.

    Raises:
        DataError: the file is missing, isn't JSON, or doesn't consist of the three lists.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # Outlines point into the content, so they need a copy that stays.
            return _decode(path, content[:] if segmentation else content, segmentation)
    except FileNotFoundError:
        expected = f"{path.parent.name}/{path.name}"
        raise DataError(f"{path}: no such annotation file. In a COCO folder it is {expected}.") from None
    except ValueError:  # an empty file can't be mapped
        raise DataError(f"{path}: broken JSON: the file is empty. Download or export it again.") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Check the file and its permissions.") from None


def _decode(path: Path, content: bytes | mmap.mmap, segmentation: bool) -> Records:
    kind: type[_File] | type[_SegmentedFile] = _SegmentedFile if segmentation else _File
    try:
        parsed = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(path, content[:], segmentation)
    return Records(list(parsed.images), list(parsed.annotations), list(parsed.categories))


def _decode_slowly(path: Path, content: bytes, segmentation: bool) -> Records:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{path}: broken JSON: {error}. Download or export the file again.") from None
    if not isinstance(parsed, dict):
        raise DataError(
            f"{path}: not COCO's format. It must be an object with the lists images, annotations and categories, "
            f"but it is {_kind(parsed)}."
        )
    faults: list[Fault] = []
    images = _convert(path, parsed, "images", Image, faults)
    annotations = _convert(path, parsed, "annotations", Segmented if segmentation else Annotation, faults)
    return Records(images, annotations, _convert(path, parsed, "categories", Category, faults), faults)


def _convert(
    path: Path, parsed: dict[str, Any], part: str, kind: type[Record], faults: list[Fault]
) -> list[Record | None]:
    items = parsed.get(part)
    if not isinstance(items, list):
        problem = f"is {_kind(items)}" if part in parsed else "is missing"
        raise DataError(f"{path}: not COCO's format: the list `{part}` {problem}. Export the file in COCO's format.")
    records: list[Record | None] = []
    for position, item in enumerate(items):
        try:
            records.append(_record(item, kind))
        except (msgspec.ValidationError, OverflowError) as error:
            faults.append(Fault(part, position, str(error)))
            records.append(None)
    return records


def _record(item: Any, kind: type[Record]) -> Record:
    if kind is Segmented and isinstance(item, dict) and "segmentation" in item:
        item = item | {"segmentation": msgspec.Raw(json.dumps(item["segmentation"]).encode())}
    return msgspec.convert(item, kind)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")
