"""Reading one image file of any kind safely, and an intact JPEG quickly."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from coursekit.core.errors import DataError
from coursekit.data.boxes import Size
from coursekit.data.open_with_pillow import MAX_PIXELS, PictureError, open_picture

# Markers of segments with the image's size: not C4, C8 and CC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1, _SCAN = 0xE1, 0xDA  # markers of metadata, and of the pixels
_TURNED = re.compile(rb'tiff:Orientation(="|>)[2-8]')  # in XMP, as Pillow reads it
_SWAPPED = (
    "Both sides are swapped: perhaps the boxes were drawn without the rotation that the file's EXIF tag asks for. "
)


def read_image(path: Path, size: Size, out: NDArray[np.uint8] | None = None) -> Tensor:
    """Read an image file of any mode.

    Args:
        path: a file that Pillow can read.
        size: (height, width) in pixels, as the image's record states it.
        out: memory to decode into, at least 3 · H · W bytes. Pass it if you need the image only until the next read.

    Returns:
        (3, H, W) uint8 RGB, turned upright if EXIF or XMP says so. In memory, the three values of a pixel are adjacent.

    Raises:
        DataError: the file is missing, or can't be used (see `open_picture`), or its size differs from `size`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: the image is missing. Fetch it again, or remove its record.") from None
    except OSError as error:
        raise DataError(f"{path}: the image can't be read ({error.strerror}). Check the file, or remove it.") from None
    image = _decode_fast(data, size, out)
    return image if image is not None else decode(data, path, size)


def decode(data: bytes, name: object, size: Size) -> Tensor:
    """Decode the bytes of a file with Pillow, slowly but with good messages.

    Args:
        data: the whole file.
        name: how error messages call it.
        size: (height, width), as in `read_image`, which lists the errors raised, too.
    """
    try:
        picture = open_picture(data)
    except PictureError as error:
        raise DataError(f"{name}: {error.reason}. {error.cure}, or remove its record.") from None
    if size_of(picture) != size:
        actual, recorded = (f"{width}×{height}" for height, width in (size_of(picture), size))
        raise DataError(
            f"{name}: the image is {actual} (width × height), its record says {recorded}. "
            f"{_SWAPPED if size_of(picture) == size[::-1] else ''}Correct the record, or fetch the image again."
        )
    return to_tensor(picture)


def size_of(picture: Image.Image) -> Size:
    """Return (height, width) of a picture. Pillow's own `size` is (width, height)."""
    return picture.height, picture.width


def to_tensor(picture: Image.Image) -> Tensor:
    """Return an RGB picture as (3, H, W) uint8."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _decode_fast(data: bytes, size: Size, out: NDArray[np.uint8] | None) -> Tensor | None:
    """Decode an intact, upright JPEG of the recorded size. Return None for every other file: Pillow handles those.

    libjpeg-turbo, through simplejpeg, returns the same pixels as Pillow in two thirds of the time, and is stricter
    about damage.
    """
    area = size[0] * size[1]
    if area > MAX_PIXELS or not _is_plain(data, size):
        return None
    try:
        buffer = None if out is None else out[: 3 * area]
        return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)).permute(2, 0, 1)
    except ValueError:
        return None


def jpeg_size(data: bytes) -> Size | None:
    """Read (height, width) from a JPEG's header (ITU T.81, B.2.2), without decoding it. None if there is no header."""
    return next((_frame(data, start)[0] for marker, start, _ in _segments(data) if marker in _FRAMES), None)


def _is_plain(data: bytes, size: Size) -> bool:
    """Return whether a file is a JPEG of this size, gray or in color, that nothing before its pixels may turn.

    EXIF data may turn it, and so may XMP data. CMYK is left to Pillow, which rounds it in another way.
    """
    is_plain = False
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            is_plain = _frame(data, start) in ((size, 1), (size, 3))
        elif marker == _APP1 and (data.startswith(b"Exif", start + 2) or _TURNED.search(data, start, end)):
            return False
    return is_plain


def _frame(data: bytes, start: int) -> tuple[Size, int]:
    """Return (height, width) and the number of components from the segment at `start`."""
    height, width = int.from_bytes(data[start + 3 : start + 5]), int.from_bytes(data[start + 5 : start + 7])
    return (height, width), data[start + 7]


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment before a JPEG's pixels, and where its length and its end are."""
    start = 2
    while data.startswith(b"\xff\xd8") and start + 9 < len(data) and data[start] == 0xFF:
        marker, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4])
        if marker == _SCAN:
            return
        yield marker, start + 2, start + 2 + length
        start += 2 + length
