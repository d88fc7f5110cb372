import json
import shutil

import pytest

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.folder_layouts import find_splits
from coursekit.data.info import summarize
from coursekit.data.load_by_name import load, load_split
from coursekit.data.source_options import Source
from coursekit.data.verify import verify
from tests.data.layout_folders import NAMES, write_json, write_pictures, write_two

TWO = {
    "Roboflow": ("train/_annotations.coco.json", "valid/_annotations.coco.json", "train", "valid"),
    "COCO": ("annotations/instances_train2017.json", "annotations/instances_val2017.json", "train2017", "val2017"),
    "images below images/": (
        "annotations/instances_train2017.json", "annotations/instances_val2017.json",
        "images/train2017", "images/val2017",
    ),
    "short names": ("annotations/instances_train.json", "annotations/instances_val.json", "train", "val"),
    "images/train": ("annotations/train.json", "annotations/val.json", "images/train", "images/val"),
    "train/images": ("train/annotations.json", "valid/annotations.json", "train/images", "valid/images"),
    "one folder of images": ("train.json", "val.json", "images", "images"),
    "labels/": ("labels/train.json", "labels/validation.json", "images/training", "images/validation"),
    "capitals": ("Annotations/Train.json", "Annotations/Val.json", "Images/Train", "Images/Val"),
    "an unpacked archive": ("inner/annotations/train.json", "inner/annotations/val.json", "inner/train", "inner/val"),
}  # fmt: skip
ONE = {
    "images/": ("annotations.json", "images", ""),
    "beside the file": ("_annotations.coco.json", ".", ""),
    "FiftyOne": ("labels.json", "data", ""),
    "Label Studio": ("result.json", "images", "images/"),
    "Label Studio on Windows": ("result.json", "images", "images\\"),
    "CVAT": ("annotations/instances_default.json", "images", ""),
    "CVAT with images/default": ("annotations/instances_default.json", "images/default", ""),
    "another folder": ("coco/labels.json", "photos", ""),
}


@pytest.mark.parametrize("layout", TWO)
def test_layouts_with_two_splits(tmp_path, layout):
    folder = write_two(tmp_path, *TWO[layout])
    train, val = load(folder, "train"), load(folder, "val")
    assert (len(train), len(val)) == (8, 4)
    assert train.image_folder == folder / TWO[layout][2]
    assert val.image_folder == folder / TWO[layout][3]
    assert train[7][1]["boxes"].tolist() == [[2, 2, 11, 10]]
    assert [summary.images for summary in summarize(folder)] == [8, 4]
    assert verify(folder) == []


@pytest.mark.parametrize("layout", ONE)
def test_one_annotation_file_is_split_by_image(tmp_path, layout):
    file, pictures, prefix = ONE[layout]
    write_json(tmp_path / file, [prefix + name for name in NAMES])
    write_pictures(tmp_path / pictures)
    with pytest.warns(UserWarning, match="20% of them are held out as val. --val-share changes that"):
        train, val = load(tmp_path, "train"), load(tmp_path, "val")
    assert (len(train), len(val)) == (10, 2)
    assert set(train.image_ids) | set(val.image_ids) == set(range(1, 13))
    assert all(len(dataset[index][1]["boxes"]) == 1 for dataset in (train, val) for index in range(len(dataset)))
    half = f"{tmp_path} --val-share 0.5"
    assert [len(load(half, split)) for split in ("train", "val")] == [6, 6]
    assert [summary.images for summary in summarize(half)] == [6, 6]
    assert verify(half) == []


def test_files_that_the_options_name(tmp_path):
    write_json(tmp_path / "x" / "a.json", NAMES[:8], tmp_path / "the images")
    write_json(tmp_path / "x" / "b.json", NAMES[8:], tmp_path / "the images")
    with pytest.raises(DataError, match=r"several annotation files, .*: x/a.json, x/b.json\. Choose with --train-json"):
        load(tmp_path, "train")
    relative = Source(str(tmp_path), "x/a.json", "x/b.json", "the images")
    absolute = Source(str(tmp_path), *(str(tmp_path / name) for name in ("x/a.json", "x/b.json", "the images")))
    for source in (relative, absolute, str(absolute), Source(str(tmp_path), "x/a.json", "x/b.json")):
        assert [len(load(source, split)) for split in ("train", "val")] == [8, 4]
    assert len(load(Source(str(tmp_path), "x/a.json", val_share=0.25), "val")) == 2
    with pytest.raises(ConfigError, match=r"--train-json c.json: no such file"):
        load(Source(str(tmp_path), "c.json"), "train")
    with pytest.raises(ConfigError, match=r"--images nowhere: no such file or folder"):
        load(Source(str(tmp_path), "x/a.json", "x/b.json", "nowhere"), "train")


def test_an_annotation_file_is_a_data_set_too(tmp_path):
    write_json(tmp_path / "a.json", NAMES, tmp_path / "images")
    write_json(tmp_path / "b.json", NAMES, tmp_path / "images")
    assert len(load(f"{tmp_path / 'a.json'} --val-share 0.5", "val")) == 6


def test_a_missing_split_is_named_with_the_ways_out(tmp_path):
    write_json(tmp_path / "train" / "_annotations.coco.json", NAMES, tmp_path / "train")
    with pytest.raises(DataError, match=r"no val split, only train \(train.*\)\. .*--val-json, or .*--val-share 0\.2"):
        load(tmp_path, "val")
    assert len(load(f"{tmp_path} --val-share 0.25", "val")) == 3
    write_json(tmp_path / "valid" / "_annotations.coco.json", NAMES[:2], tmp_path / "valid")
    with pytest.raises(ConfigError, match=r"--val-share 0\.25: .* has a val split"):
        load(f"{tmp_path} --val-share 0.25", "val")


def test_images_of_another_split_are_not_taken(tmp_path):
    folder = write_two(tmp_path, *TWO["short names"])
    shutil.rmtree(folder / "val")
    with pytest.raises(DataError, match=r"0\.png: the image is missing \(4 of 4 images are\)"):
        load(folder, "val")


def test_other_files_of_coco_are_not_taken_for_the_boxes(tmp_path):
    folder = write_two(tmp_path, *TWO["short names"])
    for split in ("train", "val"):
        for kind in ("captions", "person_keypoints"):
            write_json(folder / "annotations" / f"{kind}_{split}.json", NAMES[:1])
    (folder / "results.json").write_text(json.dumps([{"image_id": 1, "score": 0.5}]))
    assert {split.annotation_file.name for split in find_splits(folder, Source(str(folder))).values()} == {
        "instances_train.json",
        "instances_val.json",
    }


@pytest.mark.parametrize("content", ['{"images": [{"id": 1, ', "version https://git-lfs.github.com/spec/v1\n", ""])
def test_a_broken_annotation_file_is_named(tmp_path, content):
    write_pictures(tmp_path / "images")
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(DataError, match=r"annotations\.json: broken JSON"):
        load(tmp_path, "train")


@pytest.mark.parametrize("absent", [1, 3])
def test_absent_images_are_named_up_to_the_limit(tmp_path, absent):
    names = [f"{number}.png" for number in range(24)]
    write_json(tmp_path / "train.json", names)
    write_pictures(tmp_path / "images", names[absent:])
    write_json(tmp_path / "val.json", names[-4:])
    if absent == 3:
        with pytest.raises(DataError, match=r"0\.png: the image is missing \(3 of 24 images are\)\. Add the images"):
            load(tmp_path, "train")
    else:
        with pytest.warns(
            UserWarning, match=r"0\.png: the image is missing \(1 of 24 images is\)\. The others are used"
        ):
            assert len(load(tmp_path, "train")) == 24
    with pytest.warns(UserWarning, match=rf"0\.png: the image is missing \({absent} of 24"):
        assert summarize(tmp_path)[0].images == 24
    assert verify(tmp_path) == [f"images/{name}: missing" for name in names[:absent]]
    assert list(load_split(tmp_path, "train").absent) == names[:absent]
