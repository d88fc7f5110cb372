"""Reading one image, of any kind, safely; a sound JPEG quickly."""

from pathlib import Path

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from coursekit.core.errors import DataError

MAX_PIXELS = 90_000_000  # Pillow's own bound: beyond it a file is more likely an attack than a photograph
_NO_SIZE = frozenset([0xC4, 0xC8, 0xCC])  # markers between C0 and CF that don't carry the image's size


def read_image(path: Path, size: tuple[int, int], out: NDArray[np.uint8] | None = None) -> Tensor:
    """Read an image file of any mode.

    Args:
        path: a file that Pillow can read.
        size: width and height in pixels that the record promises.
        out: at least 3 · W · H bytes to decode into, where the image need not outlive the next one.

    Returns:
        (3, H, W) uint8 RGB, turned upright where the file asks for it; the three values of a pixel lie side by side.

    Raises:
        DataError: the file is missing, damaged, or of another size than promised.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: the image is missing. Fetch it again, or remove its record.") from None
    except OSError as error:
        raise DataError(f"{path}: the image can't be read ({error.strerror}).") from None
    image = _decode_fast(data, size, out)
    return image if image is not None else decode(data, path, size)


def decode(data: bytes, name: object, size: tuple[int, int]) -> Tensor:
    """Decode a file's bytes with Pillow, which says what is wrong. Arguments and errors as in `read_image`."""
    try:
        picture = open_picture(data)
    except Exception as error:  # damaged files reach corners of decoders that nobody has listed
        reason = str(error).replace(repr(data), "").strip() or type(error).__name__
        raise DataError(f"{name}: the image is damaged ({reason}). Fetch it again, or remove its record.") from None
    if picture.size != size:
        is_, said = (f"{width}×{height}" for width, height in (picture.size, size))
        raise DataError(
            f"{name}: the image is {is_}, its record says {said}. Mend the record, or fetch the image again."
        )
    return to_tensor(picture)


def open_picture(data: bytes) -> Image.Image:
    """A file's bytes as an upright RGB picture, wholly decoded: Pillow's `verify()` lets cut files pass.

    Raises:
        ValueError: nothing is there, or it claims to be enormous.
        OSError: it is no image, or it is cut. Other kinds as the decoders have them.
    """
    from io import BytesIO

    if not data:
        raise ValueError("the file is empty")
    with Image.open(BytesIO(data)) as file:
        if file.width * file.height > MAX_PIXELS:
            raise ValueError(f"it claims {file.width}×{file.height} pixels")
        return ImageOps.exif_transpose(file).convert("RGB")


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) uint8."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _decode_fast(data: bytes, size: tuple[int, int], out: NDArray[np.uint8] | None) -> Tensor | None:
    """A JPEG that is sound, upright and of the size promised; None for all others, which Pillow looks at.

    libjpeg-turbo through simplejpeg gives Pillow's pixels in two thirds of its time, and is stricter with damage.
    """
    is_plain = jpeg_size(data) == size and size[0] * size[1] <= MAX_PIXELS and b"Exif\0\0" not in data[:65536]
    if not is_plain:
        return None
    try:
        part = None if out is None else out[: 3 * size[0] * size[1]]
        return torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB", buffer=part)).permute(2, 0, 1)
    except ValueError:
        return None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from a JPEG's header (ITU T.81, B.2.2), without decoding; None where there is none."""
    if not data.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            return int.from_bytes(data[place + 7 : place + 9]), int.from_bytes(data[place + 5 : place + 7])
        place += 2 + length
    return None
