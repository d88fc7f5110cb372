"""From the bytes of an image file of any kind to an upright RGB picture of 8 bits, or the reason why there is none."""

import re
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from coursekit.data.not_an_image import is_known_image, is_tiff, kind_of

MAX_PIXELS = 90_000_000  # about Pillow's own limit: a larger file is more likely an attack than a photograph
_MAX_12_BITS = 4095
_BITS, _SUBFILE, _DNG = 258, 254, 50706  # tags of a TIFF
_TURNS = {  # by EXIF orientation: how to turn the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TO_8_BITS = "Convert all images to 8 bits, with the same range for each"
_OTHER_PRECISION = re.compile(rb"\xff[\xc0-\xc3]\0.[^\x08]", re.DOTALL)  # in the header of a JPEG frame


def silence_pillow() -> None:
    """Ignore Pillow's warnings about images that are refused here, and about what doesn't change a picture.

    Filters hold for the whole process: those of a `with` block would not be safe in threads.
    """
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    for message in ("Palette images with Transparency", "Corrupt EXIF data"):
        warnings.filterwarnings("ignore", message=message)


silence_pillow()


class PictureError(ValueError):
    """A file can't be used as a picture.

    Attributes:
        reason: what is wrong, as the end of "FILE: …".
        cure: what to do: a sentence without its full stop, so that an alternative can follow.
    """

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(reason)
        self.reason, self.cure = reason, cure


def open_picture(data: bytes) -> Image.Image:
    """Decode the bytes of a file completely into an upright RGB picture.

    Gray values of 16 bits are divided by 257. Of a file with several pictures, such as an animation, the first is
    taken, and transparency is dropped. (Pillow's `verify()` is not enough: it accepts truncated files.)

    Raises:
        PictureError: the file is empty, no image, damaged or too large, or its pixels have no known range.
    """
    if not data.strip(b"\0"):
        raise _damaged("the file is empty" if not data else "it contains nothing but zeros")
    try:
        with _open(data) as file:
            _check_size(file.width, file.height)
            _refuse_raw(file)
            file.load()
            return _to_rgb(_upright(file), _is_reduced(file, data))
    except PictureError:
        raise
    except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
        raise _damaged(str(error).replace(repr(data), "").strip() or type(error).__name__) from None


def _damaged(reason: str) -> PictureError:
    return PictureError(f"the image is damaged ({reason.splitlines()[0][:200]})", "Fetch it again")


def _open(data: bytes) -> Image.Image:
    """Open a file with Pillow, without decoding it, or say what it is instead."""
    if kind := kind_of(data):  # asked first, because Pillow reads PostScript by running another program on it
        raise PictureError(f"this is {kind.what}", kind.cure)
    try:
        return Image.open(BytesIO(data))
    except Image.DecompressionBombError as error:
        pixels = int((re.findall(r"\d+", str(error)) or ["0"])[0])
        raise _too_large(_megapixels(pixels)) from None
    except UnidentifiedImageError:
        if is_tiff(data):
            reason = "this is a TIFF whose kind of pixels can't be read here"
            raise PictureError(reason, "Convert it to 8 bits of gray or RGB") from None
        if data.startswith(b"\xff\xd8") and _OTHER_PRECISION.search(data[: 2**16]):
            raise PictureError(
                "this is a JPEG with more than 8 bits per value, which can't be read here", _TO_8_BITS
            ) from None
        raise _damaged("its header can't be read" if is_known_image(data) else "not a known image format") from None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width}×{height}, {_megapixels(width * height)}")


def _too_large(size: str) -> PictureError:
    return PictureError(
        f"the image is too large ({size}): the limit is {_megapixels(MAX_PIXELS)}",
        "Shrink it, and scale its boxes and the size in its record with it",
    )


def _megapixels(count: int) -> str:
    return f"{count / 1e6:.4g} megapixels"


def _refuse_raw(file: Image.Image) -> None:
    """Refuse a camera's raw file that is a TIFF: all that Pillow finds in it is a thumbnail."""
    tags: Any = getattr(file, "tag_v2", None) if file.format == "TIFF" else None
    if tags and (tags.get(_SUBFILE) == 1 or _DNG in tags):
        raise PictureError("this is a camera's raw file, which can't be read here", "Convert it to JPEG or PNG")


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a decoded picture as its EXIF or XMP orientation says. Metadata that can't be read says nothing."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the picture itself is sound
        return picture
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _is_reduced(file: Image.Image, data: bytes) -> bool:
    """Return whether the file has 16 bits per color, of which Pillow keeps the upper 8."""
    if file.mode not in ("RGB", "RGBA", "LA"):
        return False
    if file.format == "PNG":
        return data[24] == 16  # IHDR: the bit depth follows width and height
    tags: Any = getattr(file, "tag_v2", {})
    return file.format == "TIFF" and max(tags.get(_BITS, (8,))) > 8


def _to_rgb(picture: Image.Image, is_reduced: bool) -> Image.Image:
    if picture.mode == "F":
        raise PictureError("its pixels are floats, which have no fixed range", _TO_8_BITS)
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if is_reduced:
        extrema: Any = picture.convert("RGB").getextrema()
        _refuse_12_bits(max(high for _, high in extrema) * 256 + 255)
    try:
        return picture.convert("RGB")
    except ValueError:
        reason = f"its color mode {picture.mode} can't be converted to RGB"
        raise PictureError(reason, "Convert it to JPEG or PNG") from None


def _from_16_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise PictureError(f"its values go from {low} to {high}, so they aren't gray values of 16 bits", _TO_8_BITS)
    if high > 0:
        _refuse_12_bits(high)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _refuse_12_bits(high: int) -> None:
    """Refuse values that would become nearly black, because they don't use the 16 bits that the file has."""
    if high <= _MAX_12_BITS:
        raise PictureError(
            f"it has 16 bits per value, but no value is above {high}: they seem to have 12 bits or fewer",
            "Convert all images to 8 bits, and divide values of 12 bits by 16",
        )
