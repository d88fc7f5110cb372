import json

import pytest

from coursekit.core.errors import DataError
from coursekit.data.info import summarize
from coursekit.data.load_by_name import load
from coursekit.data.verify import verify
from tests.data.layout_folders import write_pictures

FILES = {
    "Pascal VOC": {"Annotations/0.xml": "<annotation><folder>x</folder></annotation>"},
    "an XML export of CVAT": {"annotations.xml": "<?xml version='1.0'?><annotations></annotations>"},
    "YOLO's format, with one .txt file per image": {"labels/train/0.txt": "0 0.5 0.5 0.1 0.1\n", "classes.txt": "a\n"},
    "YOLO's format": {"labels/train/0.txt": "", "data.yaml": "train: images\nnc: 1\nnames: ['a']\n"},
    "the LabelMe file of one image": {
        f"{number}.json": json.dumps({"version": "5", "shapes": [], "imagePath": "a.png"}) for number in range(5)
    },
    "CreateML's format": {"_annotations.createml.json": json.dumps([{"image": "0.png", "annotations": []}])},
    "in a CSV file": {"_annotations.csv": "filename,width\n"},
    "There is an archive, data.zip: unpack it": {"data.zip": "PK"},
    "no annotations in COCO's format. They are usually in annotations/instances_train2017.json": {},
}


@pytest.mark.parametrize("words", FILES)
def test_a_data_set_in_another_format_is_named(tmp_path, words):
    write_pictures(tmp_path / "images", ["0.png", "1.png"])
    for name, content in FILES[words].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for read in (lambda folder: load(folder, "train"), summarize, verify):
        with pytest.raises(DataError) as raised:
            read(tmp_path)
        assert str(raised.value).startswith(f"{tmp_path}: ")
        assert words in str(raised.value)
