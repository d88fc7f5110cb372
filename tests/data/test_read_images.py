from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex
from coursekit.data.open_with_pillow import open_picture
from coursekit.data.read_images import jpeg_size, read_image, to_tensor
from coursekit.data.synthetic.damaged import DAMAGED_FILES, READABLE, build_damaged


def _pillow(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def test_pixels_equal_pillows(real_coco):
    for path in sorted((real_coco / "val2017").iterdir())[::10]:
        with Image.open(path) as picture:
            size = picture.height, picture.width
        assert jpeg_size(path.read_bytes()) == size
        assert torch.equal(read_image(path, size), _pillow(path))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "1", "LA", "I;16"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    kind = {"CMYK": "JPEG", "L": "JPEG", "RGB": "JPEG"}.get(mode, "PNG")
    Image.new(mode, (20, 30)).save(tmp_path / "a.jpg", kind)
    image = read_image(tmp_path / "a.jpg", (30, 20))
    assert image.shape == (3, 30, 20)
    assert image.dtype == torch.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    upright = (24, 40) if orientation < 5 else (40, 24)
    image = read_image(tmp_path / "a.jpg", upright)
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    y, x = 0 if corner[0] == "t" else -1, 0 if corner[1] == "l" else -1
    assert image[0, y, x] > 200
    assert image[0, -1 - y, -1 - x] < 50


def _segment(marker, payload):
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload


EXIF_6 = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">'
XMP_6 = XMP + b"<tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
XMP_6_ATTRIBUTE = XMP + b'<rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
FAR = _segment(0xE2, bytes(60_000)) * 3  # more than 64 KB of other metadata
HEADERS = {
    "EXIF": _segment(0xE1, EXIF_6),
    "EXIF behind 64 KB": FAR + _segment(0xE1, EXIF_6),
    "XMP": _segment(0xE1, XMP_6),
    "an attribute of XMP": _segment(0xE1, XMP_6_ATTRIBUTE),
    "XMP behind 64 KB": FAR + _segment(0xE1, XMP_6),
}


@pytest.mark.parametrize("header", HEADERS)
def test_training_and_predict_turn_the_same_pictures(tmp_path, header):
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + HEADERS[header] + data[2:])
    image = read_image(tmp_path / "a.jpg", (40, 24))
    assert image[0, 0, -1] > 200
    assert torch.equal(image, to_tensor(open_picture((tmp_path / "a.jpg").read_bytes())))
    with pytest.raises(
        DataError, match="its record says 40×24. Both sides are swapped: .*rotation that the file's EXIF"
    ):
        read_image(tmp_path / "a.jpg", (24, 40))


def test_other_metadata_does_not_slow_reading_down(tmp_path, monkeypatch):
    Image.new("RGB", (40, 24)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + FAR + _segment(0xE1, XMP + b"</x:xmpmeta>") + data[2:])
    monkeypatch.setattr("coursekit.data.read_images.open_picture", lambda _: pytest.fail("decoded slowly"))
    assert read_image(tmp_path / "a.jpg", (24, 40)).shape == (3, 24, 40)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 30}, {"subsampling": 1}, {"keep_rgb": True}]
)
def test_training_and_predict_see_the_same_pixels(tmp_path, mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 45, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.jpg", **options)
    theirs = to_tensor(open_picture((tmp_path / "a.jpg").read_bytes()))
    assert torch.equal(read_image(tmp_path / "a.jpg", (31, 45)), theirs)


@pytest.mark.slow
def test_damaged_set_file_by_file(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    folder = build_damaged()
    with pytest.warns(UserWarning, match="left out"):
        index = CocoIndex.load(folder / "annotations" / "instances_train2017.json")
    size = {
        str(name): (int(h), int(w)) for name, h, w in zip(index.file_names, index.heights, index.widths, strict=True)
    }
    readable = set()
    for name in DAMAGED_FILES:
        try:
            read_image(folder / "train2017" / name, size[name])
            readable.add(name)
        except DataError as error:
            assert name in str(error)
    assert (
        set(READABLE) <= readable <= {*READABLE, "zeroed_in_the_middle.jpg"}
    )  # only a hash is sure to expose the zeros


def test_bomb_with_a_small_record_is_not_decoded(tmp_path):
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = (20_000).to_bytes(2) * 2
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(DataError, match=r"too large \(400 megapixels\): the limit is 90 megapixels"):
        read_image(tmp_path / "a.jpg", (64, 64))


def test_jpeg_size_reads_headers():
    assert jpeg_size(b"") is None
    assert jpeg_size(b"\xff\xd8\xff") is None
    assert jpeg_size(b"\x89PNG") is None
    buffer = BytesIO()
    Image.new("RGB", (33, 77)).save(buffer, "JPEG", progressive=True)
    assert jpeg_size(buffer.getvalue()) == (77, 33)
