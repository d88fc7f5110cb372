import json

from coursekit.data.verify import verify
from tests.data.layout_folders import NAMES, write_json


def test_intact_files_are_no_problem(coco_folder):
    (coco_folder / "train2017" / "notes.txt").touch()
    assert verify(coco_folder) == []


def test_what_training_refuses_is_named_in_the_same_words(coco_folder):
    train, val = coco_folder / "train2017", coco_folder / "val2017"
    (train / "1.jpg").write_bytes((train / "1.jpg").read_bytes()[:-40])
    (train / "2.jpg").write_text("<!DOCTYPE html><html>")
    (val / "1.jpg").rename(val / "1.jpeg")
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 65
    path.write_text(json.dumps(content))
    problems = dict(line.split(": ", 1) for line in verify(coco_folder))
    assert problems.keys() == {
        "train2017/0.jpg",
        "train2017/1.jpg",
        "train2017/2.jpg",
        "val2017/1.jpg",
        "val2017/1.jpeg",
    }
    assert problems["train2017/0.jpg"].startswith("the image is 64×48 (width × height), its record says 65×48")
    assert problems["train2017/1.jpg"].startswith("the image is damaged")
    assert problems["train2017/2.jpg"].startswith("this is a web page (HTML), not an image")
    assert problems["val2017/1.jpg"] == "missing, but '1.jpeg' is there"
    assert problems["val2017/1.jpeg"] == "extra, no record names it"


def test_a_file_of_two_splits_is_named_once(tmp_path):
    for split in ("train", "val"):
        write_json(tmp_path / f"{split}.json", NAMES, tmp_path / "images")
    (tmp_path / "images" / NAMES[0]).write_bytes(b"")
    (tmp_path / "images" / NAMES[1]).unlink()
    assert [line.split(": ")[0] for line in verify(tmp_path)] == [f"images/{NAMES[1]}", f"images/{NAMES[0]}"]
