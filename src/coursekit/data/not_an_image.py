"""What a file that isn't a readable image really is. Its first bytes tell, whatever its name says."""

import re
from typing import NamedTuple

from PIL import features


class Kind(NamedTuple):
    """What a file is, as in "this is WHAT", and the cure, as in "CURE, or remove its record."."""

    what: str
    cure: str


_CONVERT, _FETCH, _UNPACK = "Convert it to JPEG or PNG", "Fetch it again", "Unpack it"
_FRAMES = "Extract its frames"

_SIGNATURES: list[tuple[int, bytes, str, str]] = [  # offset, bytes, what, cure
    (0, b"version https://git-lfs", "a Git LFS pointer, not the image itself", "Run `git lfs pull` in its repository"),
    (0, b"/annex/objects/", "a git-annex pointer, not the image itself", "Run `git annex get` in its repository"),
    (0, b"%PDF", "a PDF document, not an image", _CONVERT),
    (0, b"%!PS", "a PostScript file, not an image", _CONVERT),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript file, not an image", _CONVERT),
    (0, b"\xff\x0a", "a JPEG XL image, which can't be read here", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image, which can't be read here", _CONVERT),
    (0, b"II\xbc", "a JPEG XR image, which can't be read here", _CONVERT),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image, which can't be read here", _CONVERT),
    (0, b"#?RADIANCE", "a Radiance HDR image, which can't be read here", _CONVERT),
    (0, b"#?RGBE", "a Radiance HDR image, which can't be read here", _CONVERT),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file, which can't be read here", _CONVERT),
    (0, b"IIRO", "a camera's raw file, which can't be read here", _CONVERT),
    (0, b"IIU\0", "a camera's raw file, which can't be read here", _CONVERT),
    (8, b"CR\x02", "a camera's raw file, which can't be read here", _CONVERT),
    (128, b"DICM", "a DICOM image, which can't be read here", _CONVERT),
    (0, b"\x89HDF", "an HDF5 file, not an image", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array, not an image", _CONVERT),
    (0, b"PK\x03\x04", "a zip archive, not an image", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive, not an image", _FETCH),
    (0, b"\x1f\x8b", "a gzip archive, not an image", _UNPACK),
    (0, b"BZh", "a bzip2 archive, not an image", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive, not an image", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive, not an image", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive, not an image", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive, not an image", _UNPACK),
    (257, b"ustar", "a tar archive, not an image", _UNPACK),
    (0, b"\x00\x05\x16\x07", "a macOS side file (AppleDouble), not an image", "Take the file without `._` in its name"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM), not an image", _FRAMES),
    (8, b"AVI ", "a video (AVI), not an image", _FRAMES),
]
# Of files that begin with a box `ftyp` (ISO/IEC 14496-12, 4.3): the brands that name a format.
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_TEXTS = [
    (re.compile(r"^<!doctype html|<html"), "a web page (HTML), not an image", _FETCH),
    (re.compile(r"<svg"), "an SVG drawing, which can't be read here", _CONVERT),
    (re.compile(r"^<\?xml"), "an XML file, not an image", _FETCH),
    (re.compile(r"^[{\[]"), "a JSON file, not an image", _FETCH),
]
_TEXT_IMAGES = ("P1", "P2", "P3", "#define", "/* XPM")  # formats of images that are text
_IMAGES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51", b"RIFF", b"P4", b"P5", b"P6")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LEAST_TEXT = 8  # bytes: fewer could be anything


def kind_of(data: bytes) -> Kind | None:
    """Recognize a file that isn't an image, or one in a format that can't be read. None if it isn't known."""
    for offset, signature, what, cure in _SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return Kind(what, cure)
    if data[4:8] == b"ftyp":
        return _media_kind(data)
    return _text_kind(data[:2048])


def is_known_image(data: bytes) -> bool:
    """Return whether a file begins like an image of a format that Pillow reads."""
    return data.startswith((*_IMAGES, *_TIFF)) or data[4:8] == b"ftyp"


def is_tiff(data: bytes) -> bool:
    """Return whether a file begins like a TIFF."""
    return data.startswith(_TIFF)


def _media_kind(data: bytes) -> Kind | None:
    box = data[: min(int.from_bytes(data[:4]), 256)]
    brands = {box[8:12], *(box[start : start + 4] for start in range(16, len(box), 4))}
    if brands & _AVIF:
        return None if features.check("avif") else Kind("an AVIF image, which this Pillow can't read", _CONVERT)
    if brands & _HEIC:
        return Kind("a HEIC image, which can't be read here", _CONVERT)
    if b"crx " in brands:
        return Kind("a camera's raw file, which can't be read here", _CONVERT)
    return Kind("a video (MP4 or QuickTime), not an image", _FRAMES)


def _text_kind(start: bytes) -> Kind | None:
    text = _as_text(start)
    if len(text) < LEAST_TEXT and not text.startswith("<"):
        return None
    lower = text.lower()
    for words, what, cure in _TEXTS:
        if words.search(lower):
            return Kind(what, cure)
    return Kind(f"a text file that begins with {text.splitlines()[0][:40]!r}, not an image", _FETCH)


def _as_text(start: bytes) -> str:
    """Return the text that a file begins with, without white space around it; an empty one if it isn't text."""
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = start.decode(encoding, errors="replace").rstrip("\ufffd").strip()  # the last character may be cut off
    is_text = all(character.isprintable() or character.isspace() for character in text) and "\ufffd" not in text
    return "" if text.startswith(_TEXT_IMAGES) or not is_text else text
