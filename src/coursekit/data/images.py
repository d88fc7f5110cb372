"""Reading one image file of any kind safely, and an intact JPEG quickly."""

from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from coursekit.core.errors import DataError
from coursekit.data.boxes import Size

MAX_PIXELS = 90_000_000  # Pillow's own limit: a larger file is more likely an attack than a photograph
_NO_SIZE = frozenset([0xC4, 0xC8, 0xCC])  # markers between C0 and CF that don't carry the image's size


def read_image(path: Path, size: Size, out: NDArray[np.uint8] | None = None) -> Tensor:
    """Read an image file of any mode.

    Args:
        path: a file that Pillow can read.
        size: (height, width) in pixels, as the image's record states it.
        out: memory to decode into, at least 3 · H · W bytes. Pass it if you need the image only until the next read.

    Returns:
        (3, H, W) uint8 RGB, turned upright if an EXIF tag says so. In memory, the three values of a pixel are adjacent.

    Raises:
        DataError: the file is missing or damaged, or its size differs from `size`.
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
    except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
        reason = str(error).replace(repr(data), "").strip() or type(error).__name__
        raise DataError(f"{name}: the image is damaged ({reason}). Fetch it again, or remove its record.") from None
    if size_of(picture) != size:
        actual, recorded = (f"{width}×{height}" for height, width in (size_of(picture), size))
        raise DataError(
            f"{name}: the image is {actual} (width × height), its record says {recorded}. "
            "Correct the record, or fetch the image again."
        )
    return to_tensor(picture)


def open_picture(data: bytes) -> Image.Image:
    """Decode the bytes of a file completely into an upright RGB picture.

    (Pillow's `verify()` is not enough: it accepts truncated files.)

    Raises:
        ValueError: the file is empty, or claims to be enormous.
        OSError: the file is no image, or truncated. Decoders raise other exceptions, too.
    """
    if not data:
        raise ValueError("the file is empty")
    with Image.open(BytesIO(data)) as file:
        if file.width * file.height > MAX_PIXELS:
            raise ValueError(f"its header claims {file.width}×{file.height} pixels, above the limit")
        return ImageOps.exif_transpose(file).convert("RGB")


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
    if jpeg_size(data) != size or area > MAX_PIXELS or b"Exif\0\0" in data[:65536]:
        return None
    try:
        buffer = None if out is None else out[: 3 * area]
        return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)).permute(2, 0, 1)
    except ValueError:
        return None


def jpeg_size(data: bytes) -> Size | None:
    """Read (height, width) from a JPEG's header (ITU T.81, B.2.2), without decoding it. None if there is no header."""
    if not data.startswith(b"\xff\xd8"):
        return None
    start = 2
    while start + 9 < len(data) and data[start] == 0xFF:
        marker, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4])
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            return int.from_bytes(data[start + 5 : start + 7]), int.from_bytes(data[start + 7 : start + 9])
        start += 2 + length
    return None
