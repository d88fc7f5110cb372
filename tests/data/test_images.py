from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit.core.errors import DataError
from coursekit.data.images import jpeg_size, read_image
from coursekit.data.index import CocoIndex
from coursekit.data.synthetic.damaged import DAMAGED_FILES, READABLE, build_damaged


def _pillow(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def test_pixels_are_pillows(real_coco):
    for path in sorted((real_coco / "val2017").iterdir())[::10]:
        size = Image.open(path).size
        assert jpeg_size(path.read_bytes()) == size
        assert torch.equal(read_image(path, size), _pillow(path))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "1", "LA", "I;16"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    kind = {"CMYK": "JPEG", "L": "JPEG", "RGB": "JPEG"}.get(mode, "PNG")
    Image.new(mode, (20, 30)).save(tmp_path / "a.jpg", kind)
    image = read_image(tmp_path / "a.jpg", (20, 30))
    assert image.shape == (3, 30, 20)
    assert image.dtype == torch.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    upright = (40, 24) if orientation < 5 else (24, 40)
    image = read_image(tmp_path / "a.jpg", upright)
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    y, x = 0 if corner[0] == "t" else -1, 0 if corner[1] == "l" else -1
    assert image[0, y, x] > 200
    assert image[0, -1 - y, -1 - x] < 50


def test_the_damaged_set_file_by_file(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    folder = build_damaged()
    with pytest.warns(UserWarning, match="left out"):
        index = CocoIndex.load(folder / "annotations" / "instances_train2017.json")
    size = {
        str(name): (int(w), int(h)) for name, w, h in zip(index.file_names, index.widths, index.heights, strict=True)
    }
    seen = set()
    for name in DAMAGED_FILES:
        try:
            read_image(folder / "train2017" / name, size[name])
            seen.add(name)
        except DataError as error:
            assert name in str(error)
    assert set(READABLE) <= seen <= {*READABLE, "zeroed_in_the_middle.jpg"}  # that one only a hash betrays for sure


def test_a_header_that_lies_about_a_small_record_is_not_decoded(tmp_path):
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = (20_000).to_bytes(2) * 2
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_image(tmp_path / "a.jpg", (64, 64))


def test_sizes_from_headers():
    assert jpeg_size(b"") is None
    assert jpeg_size(b"\xff\xd8\xff") is None
    assert jpeg_size(b"\x89PNG") is None
    buffer = BytesIO()
    Image.new("RGB", (33, 77)).save(buffer, "JPEG", progressive=True)
    assert jpeg_size(buffer.getvalue()) == (33, 77)
