"""COCO's annotation file as typed records of the fields we need, with the position of every fault.

A file that is written as COCO writes it is decoded in one pass. msgspec stops at the first wrong type, and rejects NaN.
Such a file is read again, record by record: see `tolerant`.
"""

import codecs
import mmap
from math import nan
from pathlib import Path
from typing import Annotated, Any

import msgspec

from coursekit.core.errors import DataError
from coursekit.data import tolerant
from coursekit.data.fields import LARGEST_ID, LARGEST_SIDE, MISSING
from coursekit.data.tolerant import Fault, Followers

Id = Annotated[int, msgspec.Meta(ge=-LARGEST_ID, le=LARGEST_ID)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)]


class Image(msgspec.Struct, frozen=True, gc=False):
    """One photograph: `file_name` is relative to the split's folder, `width` and `height` are in pixels."""

    id: Id
    file_name: str
    width: Pixels
    height: Pixels
    license: Any = None  # whatever it is, training doesn't need it
    coco_url: Any = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One object, or a region with many if `iscrowd` is 1. `bbox` is (left, top, width, height) in pixels.

    An `area` that the file doesn't give is NaN, and an `id` MISSING.
    """

    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    id: Id = MISSING
    area: float = nan
    iscrowd: Annotated[int, msgspec.Meta(ge=0, le=1)] | bool = 0


class Segmented(Annotation, frozen=True, gc=False):
    """An annotation with its outline, as in the file: polygons, or a run-length encoding."""

    segmentation: msgspec.Raw = msgspec.Raw(b"[]")


class Category(msgspec.Struct, frozen=True):
    """A class. COCO's ids run from 1 to 90 with gaps, so they can't serve as labels for training."""

    id: Id
    name: str


class Grouped(Category, frozen=True):
    """A class with the group that it belongs to, as in the file."""

    supercategory: Any = None


class Records(msgspec.Struct):
    """The whole file. Faulty records, listed in `faults`, are None so that positions stay the same.

    `followers` counts annotations that are left out because of their image or their class, by part and id of that.
    """

    images: list[Image | None]
    annotations: list[Annotation | None]
    categories: list[Grouped | None]
    faults: list[Fault] = []
    followers: Followers = {}


class _File(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Grouped]


class _SegmentedFile(msgspec.Struct):
    images: list[Image]
    annotations: list[Segmented]
    categories: list[Grouped]


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
    marked = content[:3] == codecs.BOM_UTF8  # many programs on Windows write it
    try:
        parsed = msgspec.json.decode(content[3:] if marked else content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(path, content[:], segmentation)
    return Records(list(parsed.images), list(parsed.annotations), list(parsed.categories))


def _decode_slowly(path: Path, content: bytes, segmentation: bool) -> Records:
    parsed = tolerant.parse(path, content)
    faults: list[Fault] = []
    followers: Followers = {}
    kinds = (("images", Image), ("categories", Grouped), ("annotations", Segmented if segmentation else Annotation))
    records = {
        part: tolerant.convert(tolerant.items_of(path, parsed, part), part, kind, faults, followers)
        for part, kind in kinds
    }
    return Records(**records, faults=faults, followers=followers)
