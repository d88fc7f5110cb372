import json

import numpy as np
import pytest

from coursekit.core.errors import DataError
from coursekit.data.categories import match_classes
from coursekit.data.index import CocoIndex
from coursekit.data.info import summarize
from coursekit.data.train_and_val import check_splits, hold_out, record_problems, take
from coursekit.data.verify import verify
from tests.data.layout_folders import write_json


@pytest.fixture
def index(tmp_path):
    write_json(tmp_path / "a.json", [f"{number}.png" for number in range(50)])
    return CocoIndex.load(tmp_path / "a.json", segmentation=True)


@pytest.mark.parametrize(("share", "count"), [(0.2, 10), (0.5, 25), (0.001, 1), (0.999, 49)])
def test_the_parts_are_disjoint_and_complete(index, share, count):
    val, train = (hold_out(index, share, split) for split in ("val", "train"))
    assert (len(val), len(train)) == (count, 50 - count)
    assert sorted([*val.image_ids, *train.image_ids]) == index.image_ids.tolist()


def test_an_added_image_moves_no_other_from_train_to_val(index, tmp_path):
    before = set(hold_out(index, 0.2, "val").file_names.tolist())
    write_json(tmp_path / "b.json", [f"{number}.png" for number in range(49, -1, -1)] + ["new.png"])
    after = set(hold_out(CocoIndex.load(tmp_path / "b.json"), 0.2, "val").file_names.tolist())
    assert len(after - {"new.png"} - before) == 0


def test_taken_rows_keep_their_boxes(coco_folder):
    index = CocoIndex.load(coco_folder / "annotations" / "instances_train2017.json")
    part = take(index, np.array([1, 2]))
    assert part.image_ids.tolist() == [17, 27]
    assert part.offsets.tolist() == [0, 2, 2]
    assert part.annotation_ids.tolist() == index.annotation_ids[index.rows_of(1)].tolist()
    assert part.boxes.tolist() == index.boxes[index.rows_of(1)].tolist()


def test_of_one_image_none_can_be_held_out(index):
    with pytest.raises(DataError, match="only one image"):
        hold_out(take(index, np.array([0])), 0.5, "val")


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
