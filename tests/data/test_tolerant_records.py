"""Records as export tools write them: what is taken, what is refused, and why."""

import codecs
import json
import math
import uuid
import warnings
from pathlib import Path

import pytest

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex

TRAIN = "instances_train2017.json"


def _load(folder: Path, change) -> tuple[CocoIndex, str]:
    """Change the content of the train split, load it, and return the index with all warnings."""
    path = folder / "annotations" / TRAIN
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        index = CocoIndex.load(path)
    return index, "\n".join(str(warning.message) for warning in caught)


def _all(part: str, **fields):
    """Return a change of all records of a part. A function gets the record."""

    def change(content):
        for record in content[part]:
            record.update({name: value(record) if callable(value) else value for name, value in fields.items()})

    return change


def _without(part: str, name: str):
    return lambda content: [record.pop(name, None) for record in content[part]]


def _same_records(index: CocoIndex, folder: Path, tmp_path: Path) -> bool:
    """Return whether an index has the boxes of the sound val split, which are those of the train split."""
    sound = CocoIndex.load(folder / "annotations" / "instances_val2017.json")
    names = ("boxes", "areas", "category_ids", "annotation_ids", "is_crowd")
    return all(getattr(index, name).tolist() == getattr(sound, name).tolist() for name in names)


IDS = {
    "text": str,
    "zero-padded text": lambda id_: f"{id_:012d}",
    "float": float,
    "text of a float": lambda id_: f"{id_}.0",
}


@pytest.mark.parametrize("how", IDS)
def test_exact_ids_are_taken_in_any_notation(coco_folder, tmp_path, how):
    write = IDS[how]

    def change(content):
        for part, names in (
            ("images", ["id"]),
            ("categories", ["id"]),
            ("annotations", ["id", "image_id", "category_id"]),
        ):
            for record in content[part]:
                record.update({name: write(record[name]) for name in names})

    index, words = _load(coco_folder, change)
    assert words == ""
    assert index.image_ids.tolist() == [7, 17, 27]
    assert _same_records(index, coco_folder, tmp_path)


def test_references_may_be_written_otherwise_than_the_ids(coco_folder, tmp_path):
    index, words = _load(coco_folder, _all("annotations", image_id=lambda record: str(record["image_id"])))
    assert words == ""
    assert _same_records(index, coco_folder, tmp_path)


@pytest.mark.parametrize(
    "value", ["7b3e", "1_000", "٣", "1e3", "", 1.5, True, [1], {}, 2**62 + 1, 2.0**60, str(uuid.UUID(int=5))]
)
@pytest.mark.parametrize(
    ("part", "name"), [("annotations", "id"), ("annotations", "image_id"), ("annotations", "category_id")]
)
def test_other_ids_are_refused_with_their_reason(coco_folder, part, name, value):
    index, words = _load(coco_folder, lambda content: content[part][2].update({name: value}))
    assert f"annotations[2]: its {name} is " in words
    assert ("not a whole number" in words) or ("beyond 2⁶²" in words)
    assert len(index.boxes) == 3


@pytest.mark.parametrize("value", ["a1", 2.5, True, None])
@pytest.mark.parametrize("part", ["images", "categories"])
def test_images_and_classes_without_an_exact_id_are_refused(coco_folder, part, value):
    index, words = _load(coco_folder, lambda content: content[part][0].update(id=value))
    assert f"{part}[0]: its id is " in words
    assert index.faults[0].part == part


@pytest.mark.parametrize("change", [_without("annotations", "id"), _all("annotations", id=None)])
def test_missing_annotation_ids_are_numbered(coco_folder, change):
    index, words = _load(coco_folder, change)
    assert index.annotation_ids.tolist() == [1, 2, 3, 4]
    assert "annotations get new ids, from 1: 4 without an id" in words
    assert not index.faults


def test_id_0_and_repeated_ids_are_renumbered(coco_folder):
    ids = iter([0, 5, 5, 0])
    index, words = _load(coco_folder, _all("annotations", id=lambda _: next(ids)))
    assert index.annotation_ids.tolist() == [6, 5, 7, 8]
    assert "from 6: 2 with id 0, 1 with the id of an earlier one" in words


CROWDS = [(False, 0), (True, 1), (0.0, 0), (1.0, 1), (None, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize(("value", "crowd"), CROWDS)
def test_iscrowd_may_be_a_truth_value_a_float_or_null(coco_folder, value, crowd):
    index, words = _load(coco_folder, _all("annotations", iscrowd=value))
    assert words == ""
    assert index.is_crowd.tolist() == [bool(crowd)] * 4


def test_iscrowd_may_be_missing(coco_folder):
    index, words = _load(coco_folder, _without("annotations", "iscrowd"))
    assert words == ""
    assert not index.is_crowd.any()


@pytest.mark.parametrize("value", ["0", "1", "false", 2, -1, 0.5, [], {}, math.nan])
def test_other_values_of_iscrowd_are_refused(coco_folder, value):
    index, words = _load(coco_folder, _all("annotations", iscrowd=value))
    assert "annotations[0]: its iscrowd is " in words
    assert "not 0 or 1" in words
    with pytest.raises(DataError, match=r"no box to train on .* none of 4 annotations is usable \(4 × its iscrowd is"):
        index.require_boxes()


@pytest.mark.parametrize("value", [None, "200", [200], math.nan, math.inf, -1, True, {}])
def test_an_unusable_area_is_that_of_the_box(coco_folder, value):
    index, words = _load(coco_folder, _all("annotations", area=value))
    assert index.areas.tolist() == [200, 480, 1600, 1500]
    assert "4 of 4 annotations have no usable `area`: width × height is taken. AP by size" in words


def test_a_missing_area_is_that_of_the_box(coco_folder):
    index, words = _load(coco_folder, _without("annotations", "area"))
    assert index.areas.tolist() == [200, 480, 1600, 1500]
    assert "AP by size" in words


def test_an_area_of_0_is_kept_with_a_warning(coco_folder):
    index, words = _load(coco_folder, _all("annotations", area=0))
    assert index.areas.tolist() == [0] * 4
    assert "4 of 4 boxes have `area` 0, but a width and a height. They are kept" in words


METADATA = [
    *(_all("images", license=value) for value in ("CC BY", "", 1.5, None, [1], {}, True, 10**30)),
    *(_all("images", coco_url=value) for value in (5, None, [], {})),
    _all("images", date_captured=[1], flickr_url=7, extra={"a": None}, score=math.nan),
    _all("images", width=64.0, height=48.0),
    _all("images", width="64", height="48"),
    *(
        _all("annotations", segmentation=value)
        for value in (None, [], [[]], "x", 5, {"counts": "x"}, [["a"]], [[math.nan]])
    ),
    _all("annotations", attributes={"occluded": False}, track_id="x", score=None),
    _without("annotations", "segmentation"),
    *(_all("categories", supercategory=value) for value in (None, 7, {}, "")),
    *(
        lambda content, value=value: content.update(info=value, licenses=value)
        for value in (None, [], "x", 5, math.nan)
    ),
]


@pytest.mark.parametrize("change", METADATA)
def test_what_training_does_not_need_may_be_anything(coco_folder, tmp_path, change):
    index, words = _load(coco_folder, change)
    assert words == ""
    assert (index.widths.tolist(), index.heights.tolist()) == ([64] * 3, [48] * 3)
    assert _same_records(index, coco_folder, tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"), [(7, "7"), (7.0, "7"), (2.5, "2.5"), (" dog\t", "dog"), ("\u3000dog\u00a0", "dog")]
)
def test_names_of_classes(coco_folder, name, expected):
    index, words = _load(coco_folder, lambda content: content["categories"][0].update(name=name))
    assert words == ""
    assert [category.name for category in index.categories] == ["person", expected]


@pytest.mark.parametrize(
    ("name", "reason"), [("", "empty"), ("  ", "empty"), (None, "null"), (True, "not text"), ("\ud800", "Unicode")]
)
def test_names_that_are_no_names_are_refused(coco_folder, name, reason):
    index, words = _load(coco_folder, lambda content: content["categories"][0].update(name=name))
    assert "categories[0]: its name is" in words
    assert reason in words
    assert "; 1 annotation is left out with it" in words
    assert [category.name for category in index.categories] == ["person"]


BOXES = ["[1,2,3,4]", ["1", "2", "3", "4"], [1, 2, 3], [1, 2, 3, 4, 5], [[1, 2], [3, 4]], [1, 2, math.nan, 4], [], {},
         [1, 2, math.inf, 4], [1, 2, 10**400, 4], [True] * 4, [1, 2, None, 4]]  # fmt: skip


@pytest.mark.parametrize("box", BOXES)
def test_boxes_that_are_not_four_numbers_are_refused(coco_folder, box):
    index, words = _load(coco_folder, lambda content: content["annotations"][0].update(bbox=box))
    assert "annotations[0]: its bbox is not four numbers (" in words
    assert len(index.boxes) == 3


ABSENT = [({}, "it has no bbox"), ({"bbox": None}, "its bbox is null"), ({"segmentation": [[1, 2]]}, "export boxes"),
          ({"caption": "a dog"}, "a caption"), ({"segments_info": []}, "a panoptic record")]  # fmt: skip


@pytest.mark.parametrize(("fields", "reason"), ABSENT)
def test_annotations_without_a_box_are_named_as_what_they_are(coco_folder, fields, reason):
    index, words = _load(coco_folder, lambda content: content["annotations"].append({"id": 9, "image_id": 7} | fields))
    assert "annotations[4]: " in words
    assert reason in words
    assert len(index.boxes) == 4


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings_of_unicode(coco_folder, tmp_path, encoding):
    path = coco_folder / "annotations" / TRAIN
    path.write_text(path.read_text(), encoding=encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _same_records(CocoIndex.load(path), coco_folder, tmp_path)
    assert encoding != "utf-8-sig" or path.read_bytes().startswith(codecs.BOM_UTF8)


def _roboflow(content):
    content["categories"] = [
        {"id": 0, "name": "dog", "supercategory": "none"},
        {"id": 1, "name": "person", "supercategory": "dog"},
        {"id": 18, "name": "dog", "supercategory": "dog"},
    ]


def test_a_group_that_shares_the_name_of_a_class_is_no_class(coco_folder):
    index, words = _load(coco_folder, _roboflow)
    assert words == ""
    assert [(category.id, category.name) for category in index.categories] == [(1, "person"), (18, "dog")]


def test_a_group_with_boxes_is_a_class(coco_folder):
    def change(content):
        _roboflow(content)
        content["annotations"][0]["category_id"] = 0

    index, words = _load(coco_folder, change)
    assert len(index.categories) == 3
    assert "classes share a name: 'dog'" in words
