import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.file_names import name_fault
from coursekit.data.index import CocoIndex
from coursekit.data.record_checks import is_safe_name


@pytest.fixture(scope="module")
def real(request) -> tuple[CocoIndex, COCO]:
    path = request.getfixturevalue("real_coco") / "annotations" / "instances_val2017.json"
    return CocoIndex.load(path), COCO(str(path))


def test_records_equal_pycocotools(real):
    ours, theirs = real
    assert set(ours.image_ids.tolist()) == set(theirs.imgs)
    assert len(ours.boxes) == len(theirs.anns)
    for row, image_id in enumerate(ours.image_ids.tolist()):
        where = ours.rows_of(row)
        ids = ours.annotation_ids[where].tolist()
        assert ids == theirs.getAnnIds(imgIds=[image_id])
        for box, area, crowd, id_ in zip(ours.boxes[where], ours.areas[where], ours.is_crowd[where], ids, strict=True):
            expected = theirs.anns[id_]
            assert box.tolist() == expected["bbox"]
            assert (area, crowd) == (expected["area"], expected["iscrowd"])


def test_queries_equal_pycocotools(real):
    ours, theirs = real
    ids = theirs.getCatIds(catNms=["person", "dog"])
    all_of = ours.image_ids[ours.images_with(all_of=["person", "dog"])]
    assert set(all_of.tolist()) == set(theirs.getImgIds(catIds=ids))
    any_of = ours.image_ids[ours.images_with(any_of=["person", "dog"])]
    assert set(any_of.tolist()) == set(theirs.catToImgs[ids[0]]) | set(theirs.catToImgs[ids[1]])
    few = ours.image_ids[ours.images_with(boxes=(0, 2))]
    counts = {image_id: len(theirs.getAnnIds(imgIds=[image_id], iscrowd=False)) for image_id in theirs.imgs}
    assert set(few.tolist()) == {image_id for image_id, count in counts.items() if count <= 2}
    small = ours.image_ids[ours.images_with(sizes=(0, 16))]
    expected = {a["image_id"] for a in theirs.anns.values() if math.sqrt(a["bbox"][2] * a["bbox"][3]) <= 16}
    assert set(small.tolist()) == expected
    assert len(ours.images_with()) == len(theirs.imgs)


@pytest.mark.parametrize(
    ("sizes", "rows"), [((19, 21), [0]), ((9, 11), []), ((39, 41), [1]), ((20, 40), [0, 1]), ((20.1, 39.9), [])]
)
def test_size_of_a_box_is_the_square_root_of_its_area(coco_folder, sizes, rows):
    boxes = [[0, 0, 40, 10], [0, 0, 10, 40], [0, 0, 32, 50], [0, 0, 64, 25]]  # 20, 20, 40, 40 pixels

    def replace_boxes(content):
        for annotation, box in zip(content["annotations"], boxes, strict=True):
            annotation["bbox"] = box

    assert CocoIndex.load(_edit(coco_folder, replace_boxes)).images_with(sizes=sizes).tolist() == rows


def test_segmentation_only_on_request(real):
    ours, theirs = real
    assert ours.segmentations is None
    index = CocoIndex.load(ours.path, segmentation=True)
    for id_, text in zip(index.annotation_ids.tolist(), index.segmentations, strict=True):
        assert json.loads(text) == theirs.anns[id_]["segmentation"]


def test_unknown_class_suggests_the_most_similar(real):
    with pytest.raises(ConfigError, match="no class 'persn'.*did you mean 'person'"):
        real[0].images_with(any_of=["persn"])


def _edit(folder: Path, change) -> Path:
    path = folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


UNUSABLE = [
    (lambda c: c.update(categories=[]), "`categories` has no usable record"),
    (lambda c: c.update(images=[]), "`images` has no usable record"),
    (lambda c: c.pop("annotations"), "the list `annotations` is missing"),
    (lambda c: c.update(images={"1": 2}), "the list `images` is an object"),
    (lambda c: c["images"][1].update(id=7), "`images`: ids that occur more than once: 7"),
    (lambda c: c["categories"][1].update(id=18), "`categories`: ids that occur more than once: 18"),
]


@pytest.mark.parametrize(("change", "words"), UNUSABLE)
def test_unusable_files_are_refused(coco_folder, change, words):
    path = _edit(coco_folder, change)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        CocoIndex.load(path)
    assert str(path) in str(caught.value)


FAULTS = [
    (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "annotations[1]", "bbox"),
    (lambda c: c["annotations"][1].update(bbox=[1, 2, math.nan, 4]), "annotations[1]", "four numbers"),
    (lambda c: c["annotations"][1].update(bbox=[1, 2, math.inf, 4]), "annotations[1]", "four numbers"),
    (lambda c: c["annotations"][1].update(bbox=[1, 2, -3, 4]), "annotations[1]", "negative"),
    (lambda c: c["annotations"][1].update(bbox="wide"), "annotations[1]", "bbox"),
    (lambda c: c["annotations"][1].pop("category_id"), "annotations[1]", "category_id"),
    (lambda c: c["annotations"].insert(1, c["annotations"][0]), "annotations[1]", "the same as an earlier record"),
    (lambda c: c["annotations"][1].update(iscrowd=2), "annotations[1]", "iscrowd is not 0 or 1"),
    (lambda c: c["annotations"][2].update(image_id=99), "annotations[2]", "image_id is not among the images"),
    (lambda c: c["annotations"][2].update(category_id=5), "annotations[2]", "category_id is not among the categories"),
    (
        lambda c: c["categories"][0].update(name=" "),
        "categories[0]",
        "name is empty (id 18); 1 annotation is left out",
    ),
    (lambda c: c["images"][2].update(width="wide"), "images[2]", "width"),
    (lambda c: c["images"][2].update(height=0), "images[2]", "height"),
    (lambda c: c["images"][2].update(file_name="../2.jpg"), "images[2]", "leads out of the image folder"),
    (lambda c: c["images"][2].update(id=2**70), "images[2]", "id"),
    (lambda c: c["annotations"].append(None), "annotations[4]", "object"),
]


@pytest.mark.parametrize(("change", "place", "words"), FAULTS)
def test_fault_is_located_and_the_rest_is_usable(coco_folder, change, place, words):
    path = _edit(coco_folder, change)
    with pytest.warns(UserWarning, match=re.escape(place)) as caught:
        index = CocoIndex.load(path)
    assert words in str(caught[0].message)
    assert len(index.faults) == 1
    assert len(index) + len(index.boxes) in (6, 7)


def test_faults_are_reported_together(coco_folder):
    def change(content):
        content["annotations"][0]["bbox"] = None
        content["annotations"][3]["image_id"] = 5
        content["images"][0].pop("height")

    with pytest.warns(UserWarning, match="left out"):
        index = CocoIndex.load(_edit(coco_folder, change))
    places = [(fault.part, fault.position, fault.annotations) for fault in index.faults]
    assert places == [("images", 0, 2), ("annotations", 3, 0)]  # the image explains its two annotations


@pytest.mark.parametrize("image_id", [7, "7", 7.0, "photo 7"])
def test_annotations_of_a_faulty_image_are_counted_with_it(coco_folder, image_id):
    def change(content):
        content["images"][0].update(id=image_id, width=None)
        for annotation in content["annotations"][:2]:
            annotation["image_id"] = image_id
        content["annotations"][0]["bbox"] = None

    with pytest.warns(UserWarning, match="2 annotations are left out with it"):
        index = CocoIndex.load(_edit(coco_folder, change))
    assert [(fault.part, fault.annotations) for fault in index.faults] == [("images", 2)]
    assert len(index.boxes) == 2


def test_many_faults_are_counted_by_reason(coco_folder):
    def change(content):
        content["annotations"] = [content["annotations"][0] | {"id": n, "iscrowd": "0"} for n in range(1, 30)]

    with pytest.warns(UserWarning, match="and 19 more: 19 × `annotations`: its iscrowd is text, not 0 or 1$"):
        CocoIndex.load(_edit(coco_folder, change))


def test_file_without_annotations_is_usable(coco_folder):
    index = CocoIndex.load(_edit(coco_folder, lambda c: c.update(annotations=[])))
    assert len(index) == 3
    assert index.boxes.shape == (0, 4)
    assert index.images_with(boxes=(0, 0)).tolist() == [0, 1, 2]


def test_optional_fields_may_be_missing(coco_folder):
    index = CocoIndex.load(_edit(coco_folder, lambda c: c["images"][0].update(license=None, coco_url=None)))
    assert len(index) == 3
    assert index.urls[0] == ""
    assert index.licenses[0] == 0


def test_order_of_annotations_does_not_matter(coco_folder):
    before = CocoIndex.load(coco_folder / "annotations" / "instances_train2017.json")
    after = CocoIndex.load(_edit(coco_folder, lambda c: c["annotations"].reverse()))
    for row in range(3):
        boxes = [sorted(index.boxes[index.rows_of(row)].tolist()) for index in (before, after)]
        assert boxes[0] == boxes[1]


def test_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such annotation file"):
        CocoIndex.load(tmp_path / "annotations" / "instances_val2017.json")
    (tmp_path / "a.json").touch()
    with pytest.raises(DataError, match=r"a\.json: broken JSON: the file is empty"):
        CocoIndex.load(tmp_path / "a.json")


def test_safe_names():
    assert all(map(is_safe_name, ["000000000001.jpg", "a b.png", "..a.jpg"]))
    assert not any(map(is_safe_name, ["", ".", "..", "../a", "/a", "a/b", "a\\b", "C:a", "a\0b", "a\nb", ". ."]))


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_random_bytes_give_one_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "some.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.json"):
        CocoIndex.load(path)


INTACT = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48, "license": 1} for n in (7, 17, 27)],
    "annotations": [
        {"id": n, "image_id": 7 + 10 * (n % 2), "category_id": 1, "bbox": [n, 2.5, 9, 8], "area": 72, "iscrowd": n % 2}
        for n in range(4)
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 30),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["../x", "/x", "\ud800", "NaN", 10**400, [], {}, [1, 2, 3, 4], [[[]]]]),
    st.lists(st.one_of(st.floats(), st.integers(), st.none()), max_size=5),
)


@st.composite
def mutations(draw):
    """Draw a change: (part, position, field or None, action, new value)."""
    part = draw(st.sampled_from(list(INTACT)))
    position = draw(st.integers(0, len(INTACT[part]) - 1))
    field = draw(st.one_of(st.none(), st.sampled_from(sorted(INTACT[part][0]))))
    return part, position, field, draw(st.sampled_from(["set", "remove", "double"])), draw(ODD)


def _mutate(content, part, position, field, action, value):
    items = content[part] if isinstance(content[part], list) else []
    if position >= len(items):
        content[part] = value
    elif action == "double":
        items.append(items[position])
    elif field is None or not isinstance(items[position], dict):
        items[position] = value
    elif action == "remove":
        items[position].pop(field, None)
    else:
        items[position] = items[position] | {field: value}


def _usable_or_one_clear_error(path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            index = CocoIndex.load(path)
    except DataError as error:
        assert path.name in str(error)
        return
    assert len(set(index.image_ids.tolist())) == len(index) > 0
    assert np.isfinite(index.boxes).all()
    assert (index.boxes[:, 2:] >= 0).all()
    assert index.offsets[-1] == len(index.boxes)
    assert not any(map(name_fault, index.file_names.tolist()))
    assert set(index.category_ids.tolist()) <= {category.id for category in index.categories}
    index.images_with(any_of=[index.categories[0].name], sizes=(1, 50), boxes=(0, 3))


def _try(tmp_path_factory, changes, cut):
    content = json.loads(json.dumps(INTACT))
    for change in changes:
        _mutate(content, *change)
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    text = json.dumps(content).encode("utf-8", "replace")
    path.write_bytes(text[: int(cut * len(text))] if cut < 1 else text)
    _usable_or_one_clear_error(path)


CUTS = st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1))
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.slow
@settings(max_examples=200, **QUIET)
@given(st.lists(mutations(), min_size=1, max_size=4), CUTS)
def test_mutated_file_is_usable_or_gives_one_clear_error(tmp_path_factory, changes, cut):
    _try(tmp_path_factory, changes, cut)


@pytest.mark.long
@settings(max_examples=2000, **QUIET)
@given(st.lists(mutations(), min_size=1, max_size=4), CUTS)
def test_two_thousand_mutated_files(tmp_path_factory, changes, cut):
    _try(tmp_path_factory, changes, cut)
