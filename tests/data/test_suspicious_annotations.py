import json
import warnings

import numpy as np
import pytest

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex

rng = np.random.default_rng(0)


def _remarks(folder, boxes, width=640, height=480):
    """Return the remarks on boxes, all in images of one size."""
    path = folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image.update(width=width, height=height)
    record = content["annotations"][0]
    content["annotations"] = [
        record | {"id": n, "bbox": box, "area": box[2] * box[3]} for n, box in enumerate(np.asarray(boxes).tolist(), 1)
    ]
    path.write_text(json.dumps(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        index = CocoIndex.load(path)
    assert [str(warning.message) for warning in caught] == [f"{path}: {remark}" for remark in index.remarks]
    return " ".join(index.remarks)


def _boxes(count, width=640, height=480):
    """Return boxes (left, top, width, height) anywhere in an image."""
    corners = np.sort(rng.random((count, 2, 2)), axis=1) * [width, height]
    return np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_normalized_boxes(coco_folder, count):
    boxes = _boxes(count) / [640, 480, 640, 480]
    assert f"{count} of {count} boxes look normalized" in _remarks(coco_folder, boxes)


def test_some_normalized_boxes_among_others(coco_folder):
    boxes = np.concatenate([_boxes(30), _boxes(10) / [640, 480, 640, 480]])
    assert "10 of 40 boxes look normalized" in _remarks(coco_folder, boxes)


def test_corners(coco_folder):
    boxes = _boxes(40)
    boxes[:, 2:] += boxes[:, :2]
    assert "boxes leave their image, and would fit as corners" in _remarks(coco_folder, boxes)


def test_one_box_given_by_its_corners(coco_folder):
    assert "1 of 1 boxes leave their image" in _remarks(coco_folder, [[300, 200, 620, 470]])


SOUND = {
    "anywhere": _boxes(40),
    "a little beyond the edge": _boxes(40) + np.array([0, 0, 5, 5]),
    "whole images": [[0, 0, 640, 480]] * 5,
    "one far beyond": [*_boxes(40).tolist(), [600, 10, 300, 20]],
    "one tiny box among many": [*_boxes(40).tolist(), [0.2, 0.3, 0.5, 0.4]],
    "thin": [[5, 5, 0.4, 0.6]] * 3,
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_boxes_get_no_remark(coco_folder, name):
    assert _remarks(coco_folder, SOUND[name]) == ""


def test_tiny_images_may_have_boxes_below_a_pixel(coco_folder):
    assert _remarks(coco_folder, [[0, 0, 1, 1]], width=4, height=4) == ""


def test_real_annotations_get_no_remark(real_coco):
    for split in ("train", "val"):
        assert CocoIndex.load(real_coco / "annotations" / f"instances_{split}2017.json").remarks == []


def test_images_that_share_a_file(coco_folder):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"images share a file: '0\.jpg'"):
        CocoIndex.load(path)


SHORTAGES = [
    (lambda c: c.update(annotations=[]), "the list `annotations` is empty"),
    (lambda c: [record.update(iscrowd=1) for record in c["annotations"]], "4 × it is a crowd region"),
    (lambda c: [record.update(bbox=[1, 1, 0, 5]) for record in c["annotations"]], "3 × its bbox has no width"),
    (lambda c: [record.update(bbox=[99, 1, 5, 5]) for record in c["annotations"]], "3 × its bbox is outside its image"),
    (lambda c: c.update(images=c["images"][2:]), "4 × its image_id is not among the images"),
    (lambda c: [image.update(width=0) for image in c["images"][:2]], "4 × its image or class can't be used"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("change", "words"), SHORTAGES)
def test_a_file_without_a_box_to_train_on_says_why(coco_folder, change, words):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="no box to train on or to score") as caught:
        CocoIndex.load(path).require_boxes()
    assert words in str(caught.value)


def test_chosen_images_without_a_box_are_refused(coco_folder):
    index = CocoIndex.load(coco_folder / "annotations" / "instances_train2017.json")
    index.require_boxes(np.array([0]))
    with pytest.raises(DataError, match="none of the 1 chosen images has a box"):
        index.require_boxes(np.array([2]))
