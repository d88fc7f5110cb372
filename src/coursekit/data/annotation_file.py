"""Read COCO's annotation file, with the position of every fault.

A file that is written as COCO writes it is decoded by msgspec, and a large one in pieces: see `pieces`. msgspec stops
at the first wrong type, and rejects NaN. Such a file is read again, record by record: see `tolerant_records`.
"""

import mmap
from pathlib import Path

import msgspec

from coursekit.core.errors import DataError
from coursekit.data import tolerant_records
from coursekit.data.annotation_columns import from_records
from coursekit.data.pieces import LEAST_SIZE, read_pieces
from coursekit.data.records import BOM, UNDECODABLE, Annotation, Grouped, Image, Records, Segmented
from coursekit.data.tolerant_records import Fault, Followers


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
        if not segmentation and path.stat().st_size >= LEAST_SIZE and (records := read_pieces(path)):
            return records
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
        parsed = msgspec.json.decode(content[3:] if content[:3] == BOM else content, type=kind)
    except UNDECODABLE:
        return _decode_slowly(path, content[:], segmentation)
    return Records(list(parsed.images), from_records(parsed.annotations), list(parsed.categories))


def _decode_slowly(path: Path, content: bytes, segmentation: bool) -> Records:
    parsed = tolerant_records.parse(path, content)
    faults: list[Fault] = []
    followers: Followers = {}
    images, categories, annotations = (
        tolerant_records.convert(tolerant_records.items_of(path, parsed, part), part, kind, faults, followers)
        for part, kind in (
            ("images", Image),
            ("categories", Grouped),
            ("annotations", Segmented if segmentation else Annotation),
        )
    )
    return Records(images, from_records(annotations), categories, faults, followers)
