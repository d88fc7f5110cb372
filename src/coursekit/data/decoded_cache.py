"""Decoded images in one memory-mapped file: a small data set that is read many times is decoded only once.

An image takes 3 · height · width bytes, 10 to 20 times as much as a JPEG. The system keeps in memory what fits.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.core.files import cache_folder
from coursekit.core.make_once import make_once
from coursekit.data.boxes import Size
from coursekit.data.index import CocoIndex
from coursekit.data.read_images import read_image

PIXELS, UNREADABLE = "pixels.bin", "unreadable.json"
DECODER = 2  # increase it when the same file gives different pixels


@dataclass(frozen=True)
class Pixels:
    """The place of decoded images. It holds a path and no pixels, so that a worker maps the file and copies nothing.

    Attributes:
        folder: has the pixels, and a list of the rows that could not be read.
        offsets: (I + 1,) position in the file where the image of each row of the index begins.
    """

    folder: Path
    offsets: NDArray[np.int64]

    def read(self, row: int, size: Size, out: NDArray[np.uint8] | None = None) -> Tensor | None:
        """Return an image of this (height, width) as (3, H, W) uint8; None if it could not be read.

        If `out` is given, the pixels are written into it, and the returned tensor shares its memory.
        """
        if row in _unreadable(self.folder):
            return None
        mapped = _mapped(self.folder)[self.offsets[row] : self.offsets[row + 1]]
        flat = np.empty_like(mapped) if out is None else out[: len(mapped)]
        flat[:] = mapped
        return torch.from_numpy(flat).view(*size, 3).permute(2, 0, 1)


def decode_all(annotation_file: Path, image_folder: Path, index: CocoIndex) -> Pixels:
    """Decode every image of an index into the cache, unless they are there already.

    An image that can't be read leaves a gap, and its row is listed: `Pixels.read` returns None for it.

    Raises:
        DataError: the disk is full.
    """
    offsets = np.concatenate([[0], np.cumsum(3 * index.widths * index.heights)])
    folder = cache_folder() / f"pixels-{_key(annotation_file, image_folder, index)}"
    make_once(folder, lambda partial: _write(partial, image_folder, index))
    return Pixels(folder, offsets)


def _write(folder: Path, image_folder: Path, index: CocoIndex) -> None:
    unreadable = []
    sizes = list(zip(index.heights.tolist(), index.widths.tolist(), strict=True))
    with (folder / PIXELS).open("wb") as file:
        for row, size in enumerate(tqdm(sizes, desc="decoding", unit="img", leave=False, delay=2)):
            try:
                image = read_image(image_folder / str(index.file_names[row]), size)
                file.write(image.permute(1, 2, 0).contiguous().numpy().tobytes())
            except DataError:
                unreadable.append(row)
                file.seek(3 * size[0] * size[1], 1)
        file.truncate()
    (folder / UNREADABLE).write_text(json.dumps(unreadable), encoding="utf-8")


def _key(annotation_file: Path, image_folder: Path, index: CocoIndex) -> str:
    """Return a digest that changes when an image changes, appears or disappears."""
    key = hashlib.sha256(f"{DECODER}".encode() + annotation_file.read_bytes())
    for name in index.file_names.tolist():
        key.update(f"{name} {_state(image_folder / name)}\n".encode())
    return key.hexdigest()[:12]


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "absent"
    return f"{state.st_size} {state.st_mtime_ns}"


@lru_cache(maxsize=8)
def _mapped(folder: Path) -> NDArray[np.uint8]:
    return np.memmap(folder / PIXELS, np.uint8, mode="r")


@lru_cache(maxsize=8)
def _unreadable(folder: Path) -> frozenset[int]:
    return frozenset(json.loads((folder / UNREADABLE).read_text(encoding="utf-8")))
