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
    with pytest.raises(DataError, match="damaged"):
        read_image(tmp_path / "a.jpg", (64, 64))


def test_jpeg_size_reads_headers():
    assert jpeg_size(b"") is None
    assert jpeg_size(b"\xff\xd8\xff") is None
    assert jpeg_size(b"\x89PNG") is None
    buffer = BytesIO()
    Image.new("RGB", (33, 77)).save(buffer, "JPEG", progressive=True)
    assert jpeg_size(buffer.getvalue()) == (77, 33)
