"""COCO's annotation file as typed records of just the fields we need, with every fault found and placed.

A sound file is decoded in one go. Where msgspec stops (at the first wrong type, and it takes NaN for malformed), it is
read again with `json`, record by record, so that all faults come together and the good rest can be used.
"""

import json
import mmap
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from coursekit.core.errors import DataError

Id = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # so that it fits an int64
Pixels = Annotated[int, msgspec.Meta(ge=1, le=2**20)]


class Image(msgspec.Struct, frozen=True, gc=False):
    """One photograph: `file_name` lies in the split's folder, `width` and `height` are in pixels."""

    id: Id
    file_name: str
    width: Pixels
    height: Pixels
    license: int | None = None
    coco_url: str | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One object, or with `iscrowd` a region with many. `bbox` is (left, top, width, height) in pixels."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0


class Segmented(Annotation, frozen=True, gc=False):
    """With its outline as it stands in the file: polygons, or a run-length encoding."""

    segmentation: msgspec.Raw = msgspec.Raw(b"[]")


class Category(msgspec.Struct, frozen=True):
    """A class. COCO's ids run from 1 to 90 with gaps, so they are no labels to train on."""

    id: Id
    name: str


class Fault(msgspec.Struct, frozen=True):
    """A record that can't be used: its list, its position in that list (from 0), and why."""

    part: str
    position: int
    reason: str

    def __str__(self) -> str:
        return f"{self.part}[{self.position}]: {self.reason}"


class Records(msgspec.Struct):
    """The whole file. Where `faults` names a record, None keeps its place."""

    images: list[Image | None]
    annotations: list[Annotation | None]
    categories: list[Category | None]
    faults: list[Fault] = []


class _Sound(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class _SoundSegmented(msgspec.Struct):
    images: list[Image]
    annotations: list[Segmented]
    categories: list[Category]


Record = TypeVar("Record", Image, Annotation, Category)


def read_records(path: Path, *, segmentation: bool = False) -> Records:
    """Read a COCO annotation file.

    Raises:
        DataError: the file is missing, is no JSON, or is not made of the three lists.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _decode(path, content[:] if segmentation else content, segmentation)  # outlines point into it
    except FileNotFoundError:
        where = f"{path.parent.name}/{path.name}"
        raise DataError(f"{path}: no such annotation file. A COCO folder has it at {where}.") from None
    except ValueError:  # an empty file can't be mapped
        raise DataError(f"{path}: broken JSON: the file is empty. Fetch or export it again.") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None


def _decode(path: Path, content: bytes | mmap.mmap, segmentation: bool) -> Records:
    kind: type[_Sound] | type[_SoundSegmented] = _SoundSegmented if segmentation else _Sound
    try:
        sound = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(path, content[:], segmentation)
    return Records(list(sound.images), list(sound.annotations), list(sound.categories))


def _decode_slowly(path: Path, content: bytes, segmentation: bool) -> Records:
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError, too
        raise DataError(f"{path}: broken JSON: {error}. Fetch or export the file again.") from None
    if not isinstance(whole, dict):
        raise DataError(
            f"{path}: not COCO's format: one object with three lists was expected, {_kind(whole)} is there."
        )
    faults: list[Fault] = []
    images = _convert(path, whole, "images", Image, faults)
    annotations = _convert(path, whole, "annotations", Segmented if segmentation else Annotation, faults)
    return Records(images, annotations, _convert(path, whole, "categories", Category, faults), faults)


def _convert(
    path: Path, whole: dict[str, Any], part: str, kind: type[Record], faults: list[Fault]
) -> list[Record | None]:
    items = whole.get(part)
    if not isinstance(items, list):
        what = f"is {_kind(items)}" if part in whole else "is missing"
        raise DataError(f"{path}: not COCO's format: the list `{part}` {what}.")
    records: list[Record | None] = []
    for position, item in enumerate(items):
        try:
            records.append(_one(item, kind))
        except (msgspec.ValidationError, OverflowError) as error:
            faults.append(Fault(part, position, str(error)))
            records.append(None)
    return records


def _one(item: Any, kind: type[Record]) -> Record:
    if kind is Segmented and isinstance(item, dict) and "segmentation" in item:
        item = item | {"segmentation": msgspec.Raw(json.dumps(item["segmentation"]).encode())}
    return msgspec.convert(item, kind)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")
