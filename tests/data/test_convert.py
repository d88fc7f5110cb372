"""Pascal VOC and YOLO become COCO's format. The package supervision isn't installed with the course."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.convert import convert, find_parts

XML = """<annotation><filename>{}.png</filename><size><width>80</width><height>60</height><depth>3</depth></size>
<object><name>dog</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>
</annotation>"""


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(path)
    else:
        path.write_text(content, encoding="utf-8")


def voc(folder):
    for name in "abcdefgh":
        write(folder / "JPEGImages" / f"{name}.png", None)
        write(folder / "Annotations" / f"{name}.xml", XML.format(name))
    return folder


def yolo(folder, name="images/{}/a.png", labels="labels/{}/a.txt"):
    write(folder / "data.yaml", "names: [cat, dog]\n")
    for split in ("train", "val", "test"):
        write(folder / name.format(split), None)
        write(folder / labels.format(split), "1 0.3125 0.3 0.375 0.4\n")
    return folder


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (voc, [("", "JPEGImages", "Annotations")]),
        (yolo, [(split, f"images/{split}", f"labels/{split}") for split in ("test", "train", "val")]),
        (
            lambda folder: yolo(folder, "{}/images/a.png", "{}/labels/a.txt"),
            [(split, f"{split}/images", f"{split}/labels") for split in ("test", "train", "val")],
        ),
        (
            lambda folder: yolo(folder, "{}/a.png", "{}/a.txt"),
            [(split, split, split) for split in ("test", "train", "val")],
        ),
    ],
)
def test_images_and_labels_are_found(tmp_path, make, parts):
    folder = make(tmp_path)
    found = [(part.split, part.images, part.labels) for part in find_parts(folder)]
    assert found == [(split, folder / images, folder / labels) for split, images, labels in parts]


def test_text_files_that_are_no_labels_are_left_alone(tmp_path):
    write(tmp_path / "README.txt", "Dogs and cats.\n")
    write(tmp_path / "README.png", None)
    assert list(find_parts(tmp_path)) == []


def test_without_supervision_the_message_says_what_to_install(coursekit, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    done = coursekit("data", "convert", voc(tmp_path / "voc"), "--out", tmp_path / "coco")
    assert done.returncode == 2
    assert "pip install supervision" in done.stderr
    assert not (tmp_path / "coco").exists()


def fail(*args):
    raise ValueError("no such tag")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (voc, r"Annotations: can't be converted \(ValueError: no such tag\)"),
        (lambda folder: write(folder / "a.png", None) or folder, "no labels in Pascal VOC's or YOLO's format"),
    ],
)
def test_a_data_set_that_cannot_be_converted_is_named(tmp_path, monkeypatch, make, words):
    monkeypatch.setitem(
        sys.modules, "supervision", SimpleNamespace(DetectionDataset=SimpleNamespace(from_pascal_voc=fail))
    )
    with pytest.raises(DataError, match=words):
        convert(make(tmp_path / "data"), tmp_path / "coco")


def test_an_existing_folder_is_not_written_into(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace())
    with pytest.raises(ConfigError, match="exists already"):
        convert(voc(tmp_path / "voc"), tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="supervision is not installed")
@pytest.mark.parametrize(("make", "split"), [(voc, "train"), (yolo, "val")])
def test_the_converted_boxes_are_those_of_the_data_set(tmp_path, make, split):
    convert(make(tmp_path / "data"), tmp_path / "coco")
    data = load(str(tmp_path / "coco"), split)
    image, target = data[0]
    assert tuple(image.shape) == (3, 60, 80)
    assert data.classes[int(target["labels"][0]) - 1] == "dog"
    assert target["boxes"][0].tolist() == pytest.approx([10, 6, 40, 30], abs=1.01)  # VOC counts pixels from 1
