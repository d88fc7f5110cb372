"""Each file and each box is damaged in the way that its name or description says."""

import json
import math
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from coursekit.core.errors import DataError
from coursekit.core.files import shipped
from coursekit.data import load
from coursekit.data.read_images import jpeg_size, read_image, size_of
from coursekit.data.subsets.recipe import read_recipe
from coursekit.data.synthetic import damaged as module
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.data.synthetic.damaged import (
    DAMAGED_BOXES,
    DAMAGED_FILES,
    INTACT_IMAGES,
    NO_SUCH_IMAGE,
    READABLE,
    build_damaged,
    damaged_file,
)
from coursekit.data.synthetic.scene import Scene

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build_damaged()


@pytest.fixture(scope="module")
def content(folder) -> dict:
    return json.loads(_annotations(folder).read_text())


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    """The scenes that the damaged files were made from."""
    drawn = draw_split(module._recipe(), "train")
    return dict(zip(DAMAGED_FILES, drawn[-len(DAMAGED_FILES) :], strict=True))


def _annotations(folder):
    return folder / "annotations" / "instances_train2017.json"


def _picture(folder, name):
    return Image.open(folder / "train2017" / name)


def _size(content, name):
    image = next(image for image in content["images"] if image["file_name"] == name)
    return image["height"], image["width"]


def _difference(image, other):
    """Return the mean absolute difference of pixel values, 0 to 255."""
    return float(np.abs(np.asarray(image).astype(float) - np.asarray(other).astype(float)).mean())


def _bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_val_is_intact(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        val = load(folder, "val")
    assert len(val) == INTACT_IMAGES["val"]
    assert set(val.classes) == set(read_recipe(shipped("data_subsets") / "mini.toml").classes)
    for image, target in val:
        assert image.shape[0] == 3
        assert (target["boxes"] >= 0).all()


def test_train_has_intact_images_then_the_damaged_files(folder, content):
    names = [image["file_name"] for image in content["images"]]
    assert names[INTACT_IMAGES["train"] :] == list(DAMAGED_FILES)
    assert sorted(names) == sorted(path.name for path in (folder / "train2017").iterdir())
    for name in names[: INTACT_IMAGES["train"]]:
        read_image(folder / "train2017" / name, _size(content, name))


def test_each_damaged_image_has_boxes(content):
    with_boxes = {annotation["image_id"] for annotation in content["annotations"]}
    assert with_boxes >= {image["id"] for image in content["images"] if image["file_name"] in DAMAGED_FILES}


@pytest.mark.parametrize("name", ["cut_at_half.jpg", "cut_by_2_bytes.jpg"])
def test_cut_files_pass_verify_and_fail_load(folder, name):
    _picture(folder, name).verify()
    with _picture(folder, name) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()


def test_cut_files_have_the_length_they_claim(folder, scenes):
    for name, share in (("cut_at_half.jpg", 0.5), ("cut_by_2_bytes.jpg", 1)):
        data = (folder / "train2017" / name).read_bytes()
        whole = module._encoded(scenes[name].picture)
        assert whole.startswith(data)
        assert len(data) == (len(whole) - 2 if share == 1 else len(whole) // 2)


def test_only_the_content_exposes_the_zeroed_file(folder, scenes, content):
    name = "zeroed_in_the_middle.jpg"
    data, whole = (folder / "train2017" / name).read_bytes(), module._encoded(scenes[name].picture)
    assert (len(data), data[-2:]) == (len(whole), b"\xff\xd9")
    assert bytes(2_000) in data
    _picture(folder, name).verify()
    picture = _picture(folder, name)
    picture.load()
    assert size_of(picture) == _size(content, name)
    upper = (0, 0, picture.width, picture.height // 4)
    assert _difference(picture.crop(upper), scenes[name].picture.crop(upper)) < 6
    assert _difference(picture, scenes[name].picture) > 12


@pytest.mark.parametrize("name", ["empty.jpg", "html_page.jpg"])
def test_files_that_are_no_images_cannot_be_opened(folder, name):
    with pytest.raises(UnidentifiedImageError):
        _picture(folder, name)


def test_empty_file_and_web_page(folder):
    assert (folder / "train2017" / "empty.jpg").stat().st_size == 0
    assert b"<html>" in (folder / "train2017" / "html_page.jpg").read_bytes()


@pytest.mark.parametrize(
    ("name", "format_", "mode"),
    [("png_named.jpg", "PNG", "RGB"), ("gray.jpg", "JPEG", "L"), ("cmyk.jpg", "JPEG", "CMYK")],
)
def test_unusual_formats_contain_the_whole_picture(folder, content, scenes, name, format_, mode):
    picture = _picture(folder, name)
    assert (picture.format, picture.mode, size_of(picture)) == (format_, mode, _size(content, name))
    expected = scenes[name].picture.convert("L" if mode == "L" else "RGB")
    assert _difference(picture.convert("RGB"), expected.convert("RGB")) < 4


def test_record_of_the_rotated_file_has_the_upright_size(folder, content, scenes):
    picture = _picture(folder, "exif_rotated.jpg")
    assert picture.getexif()[274] == 6
    upright = ImageOps.exif_transpose(picture)
    assert picture.size == upright.size[::-1]
    assert size_of(upright) == _size(content, "exif_rotated.jpg")
    assert picture.width != picture.height
    assert _difference(upright, scenes["exif_rotated.jpg"].picture) < 6


def test_bomb_is_small_and_claims_to_be_large(folder, content):
    name = "bomb_20000x20000.jpg"
    path = folder / "train2017" / name
    assert path.stat().st_size < 100_000
    assert jpeg_size(path.read_bytes()) == (20_000, 20_000) == _size(content, name)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


def test_bomb_with_its_true_size_is_an_intact_jpeg(folder, scenes):
    picture = scenes["bomb_20000x20000.jpg"].picture
    data = (folder / "train2017" / "bomb_20000x20000.jpg").read_bytes()
    assert module._claiming(data, size_of(picture)) == module._encoded(picture)


@pytest.mark.parametrize("name", DAMAGED_FILES)
def test_read_image_reads_what_is_readable(folder, content, name):
    path, size = folder / "train2017" / name, _size(content, name)
    if name in (*READABLE, "zeroed_in_the_middle.jpg"):
        assert read_image(path, size).shape == (3, *size)
    else:
        with pytest.raises(DataError, match=name):
            read_image(path, size)


def test_accepting_truncated_files_fills_the_rest_with_gray(folder, scenes, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    picture = _picture(folder, "cut_at_half.jpg").convert("RGB")
    lower = (0, 2 * picture.height // 3, *picture.size)
    assert np.ptp(np.asarray(picture.crop(lower))) <= 2  # gray
    assert np.ptp(np.asarray(scenes["cut_at_half.jpg"].picture.crop(lower))) > 100


def test_damaged_boxes_match_their_descriptions(content):
    by_id = {annotation["id"]: annotation for annotation in content["annotations"]}
    image_of = {image["id"]: image for image in content["images"]}
    assert len(by_id) == len(content["annotations"])
    flat, negative, outside, nan, dangling = (by_id[id_] for id_ in DAMAGED_BOXES)
    assert flat["bbox"][2] == 0
    assert negative["bbox"][2] < 0
    assert outside["bbox"][0] > image_of[outside["image_id"]]["width"]
    assert [math.isnan(value) for value in nan["bbox"]] == [True, False, False, False]
    assert dangling["image_id"] == NO_SUCH_IMAGE
    assert NO_SUCH_IMAGE not in image_of
    for annotation in (flat, negative, outside, nan):
        assert image_of[annotation["image_id"]]["file_name"] not in DAMAGED_FILES


def test_all_other_boxes_are_usable(content):
    image_of = {image["id"]: image for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["id"] not in DAMAGED_BOXES:
            x, y, width, height = annotation["bbox"]
            image = image_of[annotation["image_id"]]
            assert min(width, height) > 0
            assert 0 <= x < x + width <= image["width"]
            assert 0 <= y < y + height <= image["height"]


def test_python_json_accepts_nan_and_a_strict_parser_does_not(folder):
    data = _annotations(folder).read_bytes()
    assert b"NaN" in data
    with pytest.raises(msgspec.DecodeError, match="malformed"):
        msgspec.json.decode(data)


def test_rebuilding_gives_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    again = build_damaged()
    assert again == tmp_path / folder.name
    assert _bytes_of(again) == _bytes_of(folder)


def test_existing_folder_is_not_rebuilt(folder, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(folder.parent))
    monkeypatch.setattr(module, "_write", lambda *_: pytest.fail("built twice"))
    assert build_damaged() == folder


def test_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "draw_split", lambda *_: [])
    monkeypatch.setattr(module, "write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_damaged()
    assert list(tmp_path.iterdir()) == []


def test_unknown_file_is_refused():
    with pytest.raises(KeyError):
        damaged_file("cut.jpg", Image.new("RGB", (320, 240)))
