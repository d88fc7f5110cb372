"""Keep the index of a large annotation file in the cache, so that it is read in a tenth of a second the next time.

A kept index is a file of numbers and texts: the columns one after the other, then what else there is as JSON, then a
trailer with a checksum. One that is damaged, or belongs to another state of the annotation file, counts as absent.
"""

import hashlib
import math
import os
import struct
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import CourseError
from coursekit.core.files import cache_folder, make_folder, new_file
from coursekit.data.records import Category
from coursekit.data.tolerant_records import Fault

FORMAT = 1  # increase it when the same annotation file gives another index
LEAST_SIZE = 1 << 22  # bytes: smaller annotation files are read as fast
MOST_BYTES = 1 << 30  # of all kept indexes: the least recently used are removed
SETTLED_SECONDS = 2  # some file systems don't see two changes within this time
# In this order, each column is aligned without padding: first numbers of 8 bytes, then texts, then bytes.
COLUMNS = (
    *("image_ids", "widths", "heights", "licenses", "offsets", "boxes", "areas", "category_ids", "annotation_ids"),
    *("file_names", "urls", "is_crowd"),
)
_EDGE = 1 << 16  # bytes at both ends of the annotation file
_TRAILER = struct.Struct("<8sQI")  # name, length of the JSON, checksum of everything before
_NAME = b"ckindex\n"


class State(msgspec.Struct, frozen=True):
    """What changes when an annotation file does: times are in nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int
    edges: str


class _Column(msgspec.Struct):
    name: str
    dtype: str
    shape: tuple[int, ...]


class _Rest(msgspec.Struct):
    """Everything but the columns."""

    format: int
    state: State
    columns: list[_Column]
    categories: list[Category]
    faults: list[Fault]
    remarks: list[str]


class Place(NamedTuple):
    """Where the index of an annotation file is kept, and the state of that file."""

    path: Path
    state: State

    @classmethod
    def of(cls, annotation_file: Path) -> "Place | None":
        """Return the place for a file; None if it is too small to be worth one, or can't be read."""
        try:
            if annotation_file.stat().st_size < LEAST_SIZE:
                return None
            key = hashlib.sha256(os.fsencode(os.path.realpath(annotation_file))).hexdigest()[:16]
            return cls(cache_folder() / "indexes" / key, _state(annotation_file))
        except (OSError, ValueError):
            return None

    def read(self) -> dict[str, Any] | None:
        """Return the fields of the kept index; None if there is none for this state of the file."""
        try:
            content = np.memmap(self.path, np.uint8, mode="c").view(np.ndarray)
            rest = _checked(content)
            if (rest.format, rest.state) != (FORMAT, self.state):
                return None
            columns = _columns(content, rest.columns)
        except (OSError, ValueError, struct.error, msgspec.DecodeError):
            return None
        with suppress(OSError):
            os.utime(self.path)
        return columns | {"categories": rest.categories, "faults": rest.faults, "remarks": rest.remarks}

    def write(self, annotation_file: Path, fields: Mapping[str, Any]) -> None:
        """Keep an index, unless the file has changed since its state was taken, or the cache can't be written to."""
        with suppress(OSError, CourseError, UnicodeEncodeError):  # without it, the file is read again the next time
            if _state(annotation_file) == self.state and _is_settled(self.state):
                make_folder(self.path.parent)
                with new_file(self.path) as partial:
                    _write(partial, self.state, fields)
                _remove_oldest(self.path.parent)


def _state(annotation_file: Path) -> State:
    with annotation_file.open("rb") as file:
        stat = os.fstat(file.fileno())
        edges = hashlib.sha256(file.read(_EDGE))
        file.seek(max(0, stat.st_size - _EDGE))
        edges.update(file.read(_EDGE))
    return State(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, edges.hexdigest())


def _is_settled(state: State) -> bool:
    """Return whether a later change would give the file other times."""
    now = time.time_ns()
    return all(abs(now - then) > SETTLED_SECONDS * 10**9 for then in (state.modified, state.changed))


def _write(path: Path, state: State, fields: Mapping[str, Any]) -> None:
    arrays = {name: np.ascontiguousarray(fields[name]) for name in COLUMNS}
    columns = [_Column(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    rest = msgspec.json.encode(_Rest(FORMAT, state, columns, fields["categories"], fields["faults"], fields["remarks"]))
    parts: list[Any] = [*(array.reshape(-1).view(np.uint8) for array in arrays.values()), rest]
    checksum = 0
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
            checksum = zlib.crc32(part, checksum)
        file.write(_TRAILER.pack(_NAME, len(rest), checksum))


def _checked(content: NDArray[np.uint8]) -> _Rest:
    """Return what follows the columns.

    Raises:
        ValueError, struct.error, msgspec.DecodeError: the file is damaged, or isn't ours.
    """
    end = max(0, len(content) - _TRAILER.size)
    name, length, checksum = _TRAILER.unpack(content[end:].tobytes())
    if name != _NAME or length > end or zlib.crc32(content[:end].data) != checksum:
        raise ValueError("not a kept index")
    return msgspec.json.decode(content[end - length : end].data, type=_Rest)


def _columns(content: NDArray[np.uint8], columns: list[_Column]) -> dict[str, NDArray[Any]]:
    """Return views of the file. It is mapped, and a change of an array doesn't change the file."""
    if tuple(column.name for column in columns) != COLUMNS:
        raise ValueError("other columns")
    arrays, start = {}, 0
    for column in columns:
        stop = start + math.prod(column.shape) * np.dtype(column.dtype).itemsize
        arrays[column.name] = content[start:stop].view(column.dtype).reshape(column.shape)
        start = stop
    return arrays


def _remove_oldest(folder: Path) -> None:
    """Remove the least recently used files until the others fit. The latest stays, whatever its size."""
    states = [(path.stat(), path) for path in folder.iterdir()]
    total = 0
    for state, path in sorted(states, key=lambda pair: -pair[0].st_mtime_ns):
        if total and total + state.st_size > MOST_BYTES:
            path.unlink(missing_ok=True)
        total += state.st_size
