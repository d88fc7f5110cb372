"""Splits are used together if their classes match by name, whatever their ids."""

import json

import pytest

from coursekit.core.errors import DataError
from coursekit.data.categories import match_classes
from coursekit.data.index import CocoIndex
from coursekit.data.info import summarize
from coursekit.data.split_checks import check_splits, record_problems
from coursekit.data.verify import verify


def _edit(folder, split, change):
    path = folder / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _splits(folder):
    return [CocoIndex.load(folder / "annotations" / f"instances_{split}2017.json") for split in ("train", "val")]


def _new_ids(**ids):
    """Return a change that gives the classes these ids by name, and drops the others with their boxes."""

    def change(content):
        new = {each["id"]: ids[each["name"]] for each in content["categories"] if each["name"] in ids}
        content["categories"] = [{"id": id_, "name": name} for name, id_ in ids.items()]
        content["annotations"] = [
            each | {"category_id": new[each["category_id"]]}
            for each in content["annotations"]
            if each["category_id"] in new
        ]

    return change


@pytest.mark.parametrize("ids", [{"dog": 1, "person": 18}, {"person": 0, "dog": 1}, {"dog": 7, "person": 3000}])
def test_classes_are_matched_by_name(coco_folder, ids):
    _edit(coco_folder, "val", _new_ids(**ids))
    train, val = _splits(coco_folder)
    matched = match_classes(val, train.categories)
    assert matched.categories == train.categories
    assert matched.category_ids.tolist() == train.category_ids.tolist()  # both splits have the same boxes
    check_splits(train, val)


def test_a_split_may_have_some_of_the_classes(coco_folder):
    _edit(coco_folder, "val", _new_ids(dog=1))
    train, val = _splits(coco_folder)
    matched = match_classes(val, train.categories)
    assert (matched.categories, matched.category_ids.tolist()) == (train.categories, [18])


@pytest.mark.parametrize("name", ["Dog", "d og", "dogs", "dog.", "Dog "])
def test_only_white_space_around_a_name_is_ignored(coco_folder, name):
    _edit(coco_folder, "val", lambda content: content["categories"][0].update(name="  dog\n"))
    check_splits(*_splits(coco_folder))
    _edit(coco_folder, "val", lambda content: content["categories"][0].update(name=name))
    with pytest.raises(DataError, match=f"it doesn't know {name.strip()!r}.*The detector's 2: 'person', 'dog'"):
        check_splits(*_splits(coco_folder))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("split", ["train", "val"])
def test_classes_of_one_name_can_not_be_matched(coco_folder, split):
    _edit(coco_folder, split, lambda content: content["categories"][0].update(name="person "))
    with pytest.raises(DataError, match=f"{split}2017.json: classes share a name: 'person'"):
        check_splits(*_splits(coco_folder))


def test_all_problems_are_told_together(coco_folder):
    _edit(coco_folder, "train", lambda content: content.update(annotations=[]))
    _edit(coco_folder, "val", lambda content: content["categories"].append({"id": 3, "name": "cat"}))
    with pytest.raises(DataError) as caught:
        check_splits(*_splits(coco_folder))
    assert ["no box to train" in line or "'cat'" in line for line in str(caught.value).splitlines()] == [True, True]


@pytest.mark.filterwarnings("ignore")
def test_verify_names_the_problems_of_the_records(coco_folder):
    assert verify(coco_folder) == []
    _edit(coco_folder, "val", lambda content: content["categories"].append({"id": 3, "name": "cat"}))
    _edit(coco_folder, "train", lambda content: content["annotations"][0].update(bbox=None))
    problems = verify(coco_folder)
    assert problems == record_problems(_splits(coco_folder))
    assert "train2017.json: records that can't be used: 1 × `annotations`: its bbox is null" in problems[0]
    assert "'cat'" in problems[1]


def test_info_warns_of_what_keeps_a_training_from_starting(coco_folder):
    _edit(coco_folder, "train", lambda content: content.update(annotations=[]))
    with pytest.warns(UserWarning, match="no box to train on or to score: the list `annotations` is empty"):
        assert [summary.images for summary in summarize(coco_folder)] == [3, 2]
