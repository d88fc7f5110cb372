"""Read a large annotation file in pieces: each fits the processor's cache, and what stays in memory is numbers.

The text is cut between annotations, at a comma that looks like `}, {`. Such a comma may also be inside a record or a
text, so each cut has to prove itself: a piece in brackets must be a valid list, and a mark must arrive at the end of
the list `annotations`. Then the pieces are the same as the whole. For any other file, `read_pieces` returns None.
"""

import mmap
import re
from contextlib import nullcontext
from functools import partial
from io import FileIO
from math import nan
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from coursekit.data.annotation_columns import from_numbers
from coursekit.data.records import BOM, UNDECODABLE, Grouped, Image, Records
from coursekit.data.second_process import beside, can_fork

LEAST_SIZE = 1 << 24  # bytes: smaller files are decoded as a whole
PIECE = 1 << 20  # bytes
_NEAR = 1 << 14  # bytes: where the last cut of a piece is looked for first
_CUT = re.compile(rb"\}\s*(,)\s*\{")
_KEY = b'"annotations"'
_MARK = b'{"image_id":0.5,"category_id":0.5,"bbox":[0,0,0,0]}'
_MARKED_ID = 0.5  # an id that no record can have

Numbers = NDArray[np.float64]
_Part = TypeVar("_Part")


class _Row(msgspec.Struct, gc=False, kw_only=True):
    """An annotation in floats only: in MessagePack, all rows have the same length. The order is that of COCO's file."""

    area: float = nan
    iscrowd: float = 0.0
    image_id: float
    bbox: tuple[float, float, float, float]
    category_id: float
    id: float = nan


class _Head(msgspec.Struct):
    """The file up to a cut, and the mark."""

    annotations: list[_Row]
    images: list[Image] | UnsetType = UNSET
    categories: list[Grouped] | UnsetType = UNSET


class _Tail(msgspec.Struct):
    """The mark, and the file from a cut on. A second list `annotations` would replace the first."""

    rest: list[_Row]
    images: list[Image] | UnsetType = UNSET
    categories: list[Grouped] | UnsetType = UNSET
    annotations: Any = UNSET


class Range(NamedTuple):
    """The annotations between two cuts as (9, n) numbers, and the position of the comma where reading stopped."""

    blocks: list[Numbers]
    end: int


_LIST = msgspec.json.Decoder(list[_Row])
_PACKER = msgspec.msgpack.Encoder()


def read_pieces(path: Path) -> Records | None:
    """Return the records of an annotation file; None if it can't be read this way."""
    with path.open("rb", buffering=0) as file:
        try:
            start, size = _first_cut(file), path.stat().st_size
            middle = _middle_cut(file, start, size) if can_fork() else size
            task = partial(_send_range, path, middle, size)
            with beside(task) if middle < size else nullcontext() as second:
                head, body = _read_head(file, start), read_range(file, start, middle)
                if second and body.end == middle:
                    rest = _received(second) or read_range(file, middle, size)
                    body = Range(body.blocks + rest.blocks, rest.end)
            return _joined(head, body.blocks, _read_tail(file, body.end, size))
        except UNDECODABLE:
            return None


def _send_range(path: Path, start: int, stop: int, pipe: BinaryIO) -> None:
    with path.open("rb", buffering=0) as file:
        blocks, end = read_range(file, start, stop)
    numbers = np.concatenate(blocks, axis=1)
    pipe.write(np.array([end, numbers.shape[1]]).data)
    pipe.write(numbers.data)


def _received(pipe: BinaryIO) -> Range | None:
    """Return a range that another process sends; None if it didn't send all of it."""
    header = pipe.read(16)
    end, count = np.frombuffer(header, np.int64).tolist() if len(header) == 16 else (0, 0)
    content = pipe.read(72 * count)
    if not end or len(content) != 72 * count:
        return None
    return Range([np.frombuffer(content).reshape(9, count)], end)


def _first_cut(file: FileIO) -> int:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _CUT.search(content, max(0, content.find(_KEY)))
    if found is None:
        raise msgspec.DecodeError("no place to cut")
    return found.start(1)


def _middle_cut(file: FileIO, start: int, size: int) -> int:
    """Return a cut near the middle of the file; its size if there is none."""
    middle = max(start, size // 2)
    file.seek(middle)
    found = _CUT.search(file.read(PIECE))
    return middle + found.start(1) if found else size


def _read_head(file: FileIO, end: int) -> _Head:
    start = len(BOM) if _read(file, 0, len(BOM)) == BOM else 0
    return msgspec.json.decode(_read(file, start, end, after=b"," + _MARK + b"]}"), type=_Head)


def _read_tail(file: FileIO, start: int, size: int) -> _Tail:
    return msgspec.json.decode(_read(file, start, size, before=b'{"rest":[' + _MARK), type=_Tail)


def _read(file: FileIO, start: int, stop: int, before: bytes = b"", after: bytes = b"") -> bytearray:
    """Return a part of the file with something before and after it."""
    text = bytearray(len(before) + stop - start + len(after))
    text[: len(before)], text[len(text) - len(after) :] = before, after
    view = memoryview(text)[len(before) : len(text) - len(after)]
    file.seek(start)
    while view and (count := file.readinto(view)):  # a call may read less than asked for
        view = view[count:]
    return text


def read_range(file: FileIO, start: int, stop: int) -> Range:
    """Read annotations from one cut to another, or to the first piece that isn't a list of annotations.

    Args:
        file: the annotation file.
        start, stop: positions of commas; `stop` may be the size of the file.
    """
    blocks, buffer = [np.empty((9, 0))], bytearray(b"[").ljust(PIECE)
    while start < stop:
        file.seek(start + 1)
        end = 1 + (file.readinto(memoryview(buffer)[1:]) or 0)
        cut = stop - start if stop - start < end else _last_cut(buffer, end)
        if not cut:
            break
        buffer[cut] = ord("]")
        try:
            rows = _LIST.decode(memoryview(buffer)[: cut + 1])
        except UNDECODABLE:
            break
        blocks.append(_numbers(rows))
        start += cut
    return Range(blocks, start)


def _last_cut(buffer: bytearray, end: int) -> int:
    """Return the position of the last comma between two records; 0 if there is none."""
    for begin in (max(0, end - _NEAR), 0):
        cuts = [found.start(1) for found in _CUT.finditer(buffer, begin, end)]
        if cuts:
            return cuts[-1]
    return 0


def _layout() -> np.dtype[Any]:
    """Return where the numbers are in a row in MessagePack.

    A row is a byte, then each field: a byte, its name, and its numbers, 9 bytes each, of which the first says that a
    number in big-endian order follows. A byte precedes the numbers of `bbox`.
    """
    offsets, end = [], 1
    for name in _Row.__struct_fields__:
        end += 1 + len(name) + (name == "bbox")
        for _ in range(4 if name == "bbox" else 1):
            offsets.append(end + 1)
            end += 9
    names = [str(number) for number in range(len(offsets))]
    return np.dtype({"names": names, "formats": [">f8"] * len(offsets), "offsets": offsets, "itemsize": end})


_LAYOUT = _layout()


def _numbers(rows: list[_Row]) -> Numbers:
    """Return the (9, N) numbers of rows. Packing them takes a third of the time of reading their attributes."""
    packed = _PACKER.encode(rows)
    table = np.frombuffer(packed, _LAYOUT, len(rows), offset=len(packed) - len(rows) * _LAYOUT.itemsize)
    return np.stack([table[name] for name in _LAYOUT.names or ()]).astype(np.float64, copy=False)


def _joined(head: _Head, body: list[Numbers], tail: _Tail) -> Records | None:
    """Return the whole file; None if a mark isn't where it belongs, or a value needs a closer look."""
    images, categories = _last(head.images, tail.images), _last(head.categories, tail.categories)
    marks = [row.image_id for row in (*head.annotations[-1:], *tail.rest[:1])]
    if marks != [_MARKED_ID] * 2 or tail.annotations is not UNSET or images is None or categories is None:
        return None
    numbers = np.concatenate([_numbers(head.annotations[:-1]), *body, _numbers(tail.rest[1:])], axis=1)
    annotations = from_numbers(numbers)
    return None if annotations is None else Records(list(images), annotations, list(categories))


def _last(first: _Part | UnsetType, second: _Part | UnsetType) -> _Part | None:
    """Return a list of the file: if it occurs twice, JSON has the second count. None if it doesn't occur."""
    chosen = first if isinstance(second, UnsetType) else second
    return None if isinstance(chosen, UnsetType) else chosen
