import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from coursekit.data.records import read_records
from coursekit.errors import DataError


def test_real_records_are_pycocotools(real_coco):
    path = real_coco / "annotations" / "instances_val2017.json"
    ours, theirs = read_records(path), COCO(str(path))
    assert {image.id for image in ours.images} == set(theirs.imgs)
    assert len(ours.annotations) == len(theirs.anns)
    for annotation in ours.annotations:
        truth = theirs.anns[annotation.id]
        assert list(annotation.bbox) == truth["bbox"]
        assert annotation.iscrowd == truth["iscrowd"]


def _edit(folder, change):
    path = folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(categories=[]), "`categories` is empty"),
        (lambda c: c.update(images=[]), "`images` is empty"),
        (lambda c: c.pop("annotations"), "annotations"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "bbox"),
        (lambda c: c["annotations"][1].pop("category_id"), "category_id"),
        (lambda c: c["annotations"][1].update(id=1), "`annotations`: id 1 "),
        (lambda c: c["images"][1].update(id=7), "`images`: id 7 "),
        (lambda c: c["annotations"][2].update(image_id=99), re.escape("annotations[2] (id 3): image_id 99")),
        (lambda c: c["annotations"][2].update(category_id=5), "category_id 5"),
    ],
)
def test_faults_are_named(coco_folder, change, words):
    path = _edit(coco_folder, change)
    with pytest.raises(DataError, match=words) as caught:
        read_records(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such annotation file"):
        read_records(tmp_path / "annotations" / "instances_val2017.json")


@settings(max_examples=50)
@given(st.binary(max_size=60))
def test_any_other_bytes_give_one_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "some.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.json"):
        read_records(path)
