"""Exercise 1.2: read an image file of any kind, and refuse a damaged one."""

import tempfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps

from coursekit.core.errors import DataError
from coursekit.from_scratch.loader import read_image
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a color PNG, 3 pixels wide and 2 pixels tall", "png")
    yield case("a grayscale JPEG", "gray")
    yield case("a JPEG with four channels, for print", "cmyk")
    yield case("a PNG with a palette: one number per pixel", "palette")
    yield case("a PNG with a fourth channel, for opacity", "alpha")
    yield case("a black and white PNG: one bit per pixel", "1 bit")
    yield case("a JPEG stored on its side, with an EXIF tag that says so", "on its side")
    yield case("a web page with the name of an image", "text")
    yield case("an empty file", "empty")
    yield case("a file that does not exist", "missing")
    yield case("a JPEG without its second half", "cut in half")
    yield case("a JPEG without its last two bytes", "cut by 2")
    yield case("a PNG with a damaged block, for which Pillow raises a SyntaxError", "broken png")
    yield case("a small JPEG that claims to have 20,000 × 20,000 pixels", "bomb")


@cache
def _files():
    """Return the bytes of each kind of file."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
    small, jpeg = picture.crop((0, 0, 3, 2)), _encoded(picture, quality=95)
    halves = Image.new("RGB", (16, 8), (250, 250, 250))
    halves.paste((0, 0, 0), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    size_at = jpeg.index(b"\xff\xc0") + 5
    return {
        "png": _encoded(small, "PNG"),
        "gray": _encoded(Image.new("L", (5, 4), 90)),
        "cmyk": _encoded(Image.new("CMYK", (5, 4), (255, 0, 128, 0))),
        "palette": _encoded(small.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        "alpha": _encoded(small.convert("RGBA"), "PNG"),
        "1 bit": _encoded(small.convert("1"), "PNG"),
        "on its side": _encoded(halves, exif=exif, quality=100),
        "text": b"<!DOCTYPE html><title>404 Not Found</title>",
        "empty": b"",
        "cut in half": jpeg[: len(jpeg) // 2],
        "cut by 2": jpeg[:-2],
        "broken png": _encoded(small, "PNG").replace(b"IDAT", bytes(4)),
        "bomb": jpeg[:size_at] + (20_000).to_bytes(2) * 2 + jpeg[size_at + 4 :],
    }


def _encoded(picture, kind="JPEG", **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def call(answer, kind):
    """Return the image that an answer reads, or a sentence if it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        if kind != "missing":
            path.write_bytes(_files()[kind])
        try:
            return answer(path)
        except DataError as error:
            names = "names the file" if path.name in str(error) else "does not name the file"
            return f"refused, with a DataError that {names}"


# Wrong answers


def _tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _upright(file):
    return ImageOps.exif_transpose(file).convert("RGB")


def _read(path, decode=_upright, errors=Exception):
    try:
        with Image.open(path) as file:
            picture = decode(file)
    except errors as error:
        raise DataError(f"{path}: {error}") from error
    return _tensor(picture)


def wrong_keeps_the_mode(path):
    return _read(path, decode=ImageOps.exif_transpose)


def wrong_ignores_exif(path):
    return _read(path, decode=lambda file: file.convert("RGB"))


def wrong_channels_last(path):
    return _read(path).permute(1, 2, 0)


def wrong_any_number_of_channels(path):
    try:
        with Image.open(path) as file:
            values = np.array(ImageOps.exif_transpose(file))
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1)


def wrong_floats(path):
    return _read(path) / 255


def wrong_blue_first(path):
    return _read(path).flip(0)


def wrong_catches_nothing(path):
    return _tensor(_upright(Image.open(path)))


def wrong_as_in_many_tutorials(path):
    return _tensor(Image.open(path).convert("RGB"))


def wrong_catches_os_errors_only(path):
    return _read(path, errors=OSError)


def wrong_trusts_verify(path):
    try:
        with Image.open(path) as file:
            file.verify()
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return wrong_catches_nothing(path)


def wrong_allows_truncated_files(path):
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return _read(path)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def wrong_black_image_instead(path):
    try:
        return _read(path)
    except DataError:
        return torch.zeros(3, 240, 320, dtype=torch.uint8)


def wrong_none_instead(path):
    try:
        return _read(path)
    except DataError:
        return None


def wrong_does_not_name_the_file(path):
    try:
        return _read(path)
    except DataError:
        raise DataError("the image is damaged") from None


def wrong_trusts_the_suffix(path):
    try:
        Image.open(path, formats=["JPEG"]).close()
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return _read(path)


def wrong_reshaped(path):
    image = _read(path)
    return image.permute(1, 2, 0).reshape(image.shape)


# Right answers


def right_from_bytes(path):
    try:
        picture = Image.open(BytesIO(path.read_bytes()))
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        values = np.asarray(picture.convert("RGB"))
    except Exception as error:
        raise DataError(f"{path.name} is damaged: {error!r}") from None
    return torch.tensor(values).permute(2, 0, 1).contiguous()


def right_with_all_of_it_in_the_try(path):
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file.convert("RGB"))
            return torch.from_numpy(np.moveaxis(np.array(picture), 2, 0))
    except Exception as error:
        raise DataError(str(path)) from error


EXERCISE = Exercise(
    "read_image",
    lesson=1,
    minutes=15,
    reference=read_image,
    cases=cases,
    call=call,
    hints=(
        "“The number of channels is wrong.” A file may have one channel, or four, or a palette. Which mode can Pillow convert "
        "every image to? Also, Pillow's arrays are (H, W, 3): permute puts the channels first.",
        "“A truncated file gets through”, or “another error than DataError”. Image.open reads only the header; the pixels are "
        "decoded at the first call that needs them, such as convert. So that call belongs inside the try. Decoders raise all "
        "kinds of errors, so here `except Exception` is right.",
        "“Nearly there.” In the try: with Image.open(path) as file: picture = ImageOps.exif_transpose(file).convert('RGB'). "
        "In the except: raise DataError(f'{path}: …') from error. Then return "
        "torch.from_numpy(np.array(picture)).permute(2, 0, 1).",
    ),
    wrong=(
        Wrong(wrong_keeps_the_mode, "the image keeps its mode, and grayscale has no axis for channels"),
        Wrong(wrong_ignores_exif, "the EXIF tag is ignored: the image is on its side, but its boxes are not"),
        Wrong(wrong_channels_last, "the channels come last, as in Pillow's arrays"),
        Wrong(wrong_any_number_of_channels, "the image keeps its mode: grayscale has one channel, CMYK has four"),
        Wrong(wrong_floats, "floats instead of uint8: four times the memory"),
        Wrong(wrong_blue_first, "red and blue are swapped, as in OpenCV"),
        Wrong(wrong_catches_nothing, "no error is caught, so callers get whatever a decoder raises"),
        Wrong(wrong_catches_os_errors_only, "only OSError is caught, but some damaged files raise other errors"),
        Wrong(wrong_trusts_verify, "verify() doesn't decode the pixels, so a truncated file passes"),
        Wrong(
            wrong_allows_truncated_files,
            "LOAD_TRUNCATED_IMAGES lets truncated files pass, with gray in place of the rest",
        ),
        Wrong(wrong_black_image_instead, "a damaged file becomes a black image, with the boxes of the real one"),
        Wrong(wrong_none_instead, "a damaged file becomes None, which crashes later, somewhere else"),
        Wrong(wrong_does_not_name_the_file, "the error message doesn't name the file"),
        Wrong(wrong_trusts_the_suffix, "the suffix is trusted: a PNG named .jpg is refused"),
        Wrong(wrong_as_in_many_tutorials),
        Wrong(wrong_reshaped),
    ),
    right=(right_from_bytes, right_with_all_of_it_in_the_try),
    library=(
        "torchvision.io.read_image",
        "torchvision.io.decode_image",
        "torchvision.io.decode_jpeg",
        "coursekit.data.images.open_picture",
    ),
)
