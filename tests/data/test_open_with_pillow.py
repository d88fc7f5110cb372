import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from coursekit.data.open_with_pillow import MAX_PIXELS, PictureError, open_picture, silence_pillow

SIZE = (30, 20)  # Pillow's order
RAMP = (np.linspace(0, 255, 600).round().astype(np.uint16) * 257).reshape(20, 30)  # of which each value has 8 bits
GRAY = (RAMP // 257).astype(np.uint8)


def encoded(picture, kind, **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png_16(values, color_type):
    """Return a PNG with 16 bits per value, which Pillow can't write for colors."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _big_endian(values):
    return Image.frombytes("I;16B", SIZE, values.astype(">u2").tobytes())


def _opaque(values, channels):
    return np.stack([values] * channels + [np.full_like(values, 65535)], axis=-1)


GRAYS = {
    "PNG": lambda values: encoded(Image.fromarray(values), "PNG"),
    "TIFF": lambda values: encoded(Image.fromarray(values), "TIFF"),
    "big-endian TIFF": lambda values: encoded(_big_endian(values), "TIFF"),
    "PGM": lambda values: b"P5 30 20 65535\n" + values.astype(">u2").tobytes(),
    "32-bit TIFF": lambda values: encoded(Image.fromarray(values.astype(np.int32)), "TIFF"),
    "JPEG 2000": lambda values: encoded(Image.fromarray(values), "JPEG2000"),
}
COLORS = {
    "RGB": lambda values: png_16(np.stack([values] * 3, axis=-1), 2),
    "RGBA": lambda values: png_16(_opaque(values, 3), 6),
    "gray and alpha": lambda values: png_16(_opaque(values, 1), 4),
}


@pytest.mark.parametrize("kind", GRAYS)
def test_gray_of_16_bits_is_divided_by_257(kind):
    picture = open_picture(GRAYS[kind](RAMP))
    assert picture.mode == "RGB"
    assert (np.array(picture) == GRAY[..., None]).all()


@pytest.mark.parametrize("kind", COLORS)
def test_colors_of_16_bits_keep_their_range(kind):
    assert (np.array(open_picture(COLORS[kind](RAMP))) == GRAY[..., None]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PGM", *COLORS])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_16_bits_that_hold_fewer_are_refused(kind, bits):
    values = (RAMP >> (16 - bits)).astype(np.uint16)
    with pytest.raises(PictureError, match="they seem to have 12 bits or fewer") as raised:
        open_picture((GRAYS | COLORS)[kind](values))
    assert "divide values of 12 bits by 16" in raised.value.cure


def test_a_black_image_of_16_bits_is_black():
    assert np.array(open_picture(GRAYS["PNG"](RAMP * 0))).max() == 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RAMP.astype(np.float32) / 65535, "its pixels are floats"),
        (RAMP.astype(np.float32), "its pixels are floats"),
        (RAMP.astype(np.int32) * 300, "its values go from 0 to 19660500"),
        (RAMP.astype(np.int32) - 9, "its values go from -9 to 65526"),
    ],
)
def test_pixels_without_a_known_range_are_refused(values, reason):
    with pytest.raises(PictureError, match=reason):
        open_picture(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_gray_of_16_bits_is_turned_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.array(open_picture(encoded(Image.fromarray(RAMP), kind, exif=exif)))[..., 0]
    assert (turned == np.rot90(GRAY, {3: 2, 6: -1}[orientation])).all()


def test_metadata_that_cannot_be_read_turns_nothing():
    intact = Image.fromarray(GRAY)
    expected = np.array(open_picture(encoded(intact, "JPEG")))
    for exif in (b"Exif\0\0" + b"garbage" * 5, b"Exif\0\0II*\0\x08\0\0\0\x05\0" + bytes(range(60))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            silence_pillow()  # pytest has reset the filters
            assert (np.array(open_picture(encoded(intact, "JPEG", exif=exif))) == expected).all()


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(12_000, 9_000, "12000×9000, 108 megapixels"), (20_000,) * 2 + ("400 megapixels",)]
)
def test_a_picture_above_the_limit_is_called_too_large_and_not_damaged(width, height, shown):
    data = bytearray(encoded(Image.fromarray(GRAY), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = height.to_bytes(2) + width.to_bytes(2)
    assert width * height > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silence_pillow()
        with pytest.raises(PictureError) as raised:
            open_picture(bytes(data))
    assert raised.value.reason == f"the image is too large ({shown}): the limit is 90 megapixels"
    assert raised.value.cure.startswith("Shrink it")


@pytest.mark.parametrize("transparency", [3, bytes(range(16))])
def test_a_palette_with_transparency_gives_its_colors_without_a_warning(transparency):
    palette = Image.fromarray(np.stack([GRAY, GRAY[::-1], GRAY // 2], axis=-1)).quantize(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silence_pillow()  # pytest has reset the filters
        picture = open_picture(encoded(palette, "PNG", transparency=transparency))
    assert (np.array(picture) == np.array(palette.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_taken(kind):
    first, other = Image.new("RGB", SIZE, "red"), Image.new("RGB", SIZE, "blue")
    picture = open_picture(encoded(first, kind, save_all=True, append_images=[other]))
    assert np.array(picture)[0, 0, 0] > 200


def test_a_jpeg_of_12_bits_is_named():
    data = encoded(Image.fromarray(GRAY), "JPEG").replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c")
    with pytest.raises(PictureError, match="a JPEG with more than 8 bits per value"):
        open_picture(data)


def test_a_thumbnail_of_a_raw_file_is_not_taken_for_the_picture():
    with pytest.raises(PictureError, match="a camera's raw file"):
        open_picture(encoded(Image.fromarray(GRAY), "TIFF", tiffinfo={254: 1}))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the image is damaged (the file is empty)"),
        (bytes(5000), "the image is damaged (it contains nothing but zeros)"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "the image is damaged (its header can't be read)"),
        (b"\x93\x01\x02\x03" * 20, "the image is damaged (not a known image format)"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "this is a TIFF whose kind of pixels can't be read here"),
    ],
)
def test_damage_is_described(data, reason):
    with pytest.raises(PictureError) as raised:
        open_picture(data)
    assert raised.value.reason == reason
