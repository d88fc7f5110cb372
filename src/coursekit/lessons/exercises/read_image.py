"""Exercise 1.2: read an image file of any kind, and refuse a damaged one."""

import tempfile
from collections.abc import Iterator
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

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
    yield case("a PNG stored on its side, with an EXIF tag that says so", "png on its side")
    for tag in (5, 8, 3, 7, 2, 4):
        yield case(f"a JPEG with the EXIF orientation {tag}", f"orientation {tag}")
    yield case("a web page with the name of an image", "text")
    yield case("an empty file", "empty")
    yield case("a file that does not exist", "missing")
    yield case("a JPEG without its second half", "cut in half")
    yield case("a JPEG without its last two bytes", "cut by 2")
    yield case("a PNG without its second half", "png cut in half")
    yield case("a PNG with a damaged block, for which Pillow raises a SyntaxError", "broken png")
    yield case("a small JPEG that claims to have 20,000 × 20,000 pixels", "bomb")


READABLE = {"png", "gray", "cmyk", "palette", "alpha", "1 bit", "on its side", "png on its side"}
READABLE |= {f"orientation {tag}" for tag in range(2, 9)}


@cache
def _files():
    """Return the bytes of each kind of file."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
    small, jpeg = picture.crop((0, 0, 3, 2)), _encoded(picture, quality=95)
    halves = Image.new("RGB", (16, 8), (250, 250, 250))
    halves.paste((0, 0, 0), (0, 0, 8, 8))
    corner = halves.copy()
    corner.paste((250, 250, 250), (0, 4, 8, 8))
    size_at = jpeg.index(b"\xff\xc0") + 5
    return {
        "png": _encoded(small, "PNG"),
        "gray": _encoded(Image.new("L", (5, 4), 90)),
        "cmyk": _encoded(Image.new("CMYK", (5, 4), (255, 0, 128, 0))),
        "palette": _encoded(small.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        "alpha": _encoded(small.convert("RGBA"), "PNG"),
        "1 bit": _encoded(small.convert("1"), "PNG"),
        "on its side": _encoded(halves, exif=_turned(6), quality=100),
        "png on its side": _encoded(halves, "PNG", exif=_turned(6)),
        **{f"orientation {tag}": _encoded(corner, exif=_turned(tag), quality=100) for tag in range(2, 9)},
        "text": b"<!DOCTYPE html><title>404 Not Found</title>",
        "empty": b"",
        "cut in half": jpeg[: len(jpeg) // 2],
        "cut by 2": jpeg[:-2],
        "png cut in half": _encoded(picture, "PNG")[:2000],
        "broken png": _encoded(small, "PNG").replace(b"IDAT", bytes(4)),
        "bomb": jpeg[:size_at] + (20_000).to_bytes(2) * 2 + jpeg[size_at + 4 :],
    }


def _turned(orientation):
    """Return an EXIF block with this orientation, from 1 (upright) to 8."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def _encoded(picture, kind="JPEG", **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def call(answer, file):
    """Return the image that an answer reads, or a sentence if it refuses the file.

    `file` is a kind of file, such as "png", or the path of one of the reader's own.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = file if isinstance(file, Path) else Path(folder) / "photo.jpg"
        if path is not file and file != "missing":
            path.write_bytes(_files()[file])
        try:
            return answer(path)
        except DataError as error:
            names = "names the file" if path.name in str(error) else "does not name the file"
            return f"refused, with a DataError that {names}"
        except Exception as error:
            if file in READABLE:
                raise
            return f"a {type(error).__name__}, not a DataError"


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


ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def _turned_by(table):
    def decode(file):
        turn = table.get(file.getexif().get(ExifTags.Base.Orientation))
        return (file if turn is None else file.transpose(turn)).convert("RGB")

    return decode


def wrong_some_orientations(path, known=(3, 6, 8)):
    return _read(path, decode=_turned_by({tag: ORIENTATIONS[tag] for tag in known}))


def wrong_turned_the_other_way(path):
    return _read(path, decode=_turned_by({**ORIENTATIONS, 6: ORIENTATIONS[8], 8: ORIENTATIONS[6]}))


def wrong_width_first(path):
    return _read(path).transpose(1, 2)


def wrong_gray(path):
    return _read(path, decode=lambda file: ImageOps.exif_transpose(file).convert("L").convert("RGB"))


def wrong_some_errors(path, errors):
    return _read(path, errors=errors)


def wrong_other_error(path):
    try:
        return _read(path)
    except DataError as error:
        raise ValueError(str(error)) from error


def wrong_missing_file_gets_through(path):
    if not path.exists():
        raise FileNotFoundError(path)
    return _read(path)


def wrong_tests_only_existence(path):
    if not path.exists():
        raise DataError(f"{path} is missing")
    return wrong_catches_nothing(path)


def wrong_decodes_after_the_try(path):
    try:
        file = Image.open(path)
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    return _tensor(_upright(file))


def wrong_array(path):
    return _read(path).numpy()


def wrong_whole_numbers(path):
    return _read(path).long()


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


def right_turned_by_a_table(path):
    return _read(path, decode=_turned_by(ORIENTATIONS))


def right_channel_by_channel(path):
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        return torch.stack([torch.from_numpy(np.array(channel)) for channel in picture.split()])
    except Exception as error:
        raise DataError(f"can't read {path!s}") from error


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
        Wrong(
            wrong_some_orientations,
            "only some of the eight EXIF orientations are turned: ImageOps.exif_transpose knows all",
        ),
        Wrong(
            partial(wrong_some_orientations, known=(6,)),
            "only some of the eight EXIF orientations are turned: ImageOps.exif_transpose knows all",
        ),
        Wrong(
            partial(wrong_some_orientations, known=(2, 3, 4, 6, 7, 8)),
            "only some of the eight EXIF orientations are turned: ImageOps.exif_transpose knows all",
        ),
        Wrong(
            partial(wrong_some_orientations, known=(2, 3, 4, 6, 8)),
            "only some of the eight EXIF orientations are turned: ImageOps.exif_transpose knows all",
        ),
        Wrong(wrong_turned_the_other_way, "the image is turned the wrong way"),
        Wrong(wrong_width_first, "width and height are swapped: the shape is (3, H, W)"),
        Wrong(wrong_gray, "the colors are lost: convert to RGB only"),
        Wrong(
            partial(wrong_some_errors, errors=(FileNotFoundError, UnidentifiedImageError)),
            "only some errors are caught, but damaged files raise many kinds: `except Exception` is right here",
        ),
        Wrong(partial(wrong_some_errors, errors=(OSError, SyntaxError))),
        Wrong(partial(wrong_some_errors, errors=(OSError, ValueError))),
        Wrong(wrong_other_error, "the error is not a DataError"),
        Wrong(wrong_missing_file_gets_through, "a missing file raises another error than DataError"),
        Wrong(wrong_tests_only_existence, "only a missing file is refused with a DataError, not a damaged one"),
        Wrong(wrong_decodes_after_the_try, "the pixels are decoded after the try: Image.open reads only the header"),
        Wrong(wrong_array, "a NumPy array instead of a tensor"),
        Wrong(wrong_whole_numbers, "int64 instead of uint8: eight times the memory"),
    ),
    right=(right_from_bytes, right_with_all_of_it_in_the_try, right_turned_by_a_table, right_channel_by_channel),
    library=(
        "torchvision.io.read_image",
        "torchvision.io.decode_image",
        "torchvision.io.decode_jpeg",
        "coursekit.data.read_images.open_picture",
    ),
)
