"""A file read in pieces gives the same index, warnings and errors as the same file decoded as a whole."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from coursekit.core.errors import DataError
from coursekit.data import annotation_file, pieces
from coursekit.data.index import CocoIndex
from coursekit.data.pieces import read_pieces

COUNT = 60


def _image(number):
    return {"id": 10 * number + 7, "file_name": f"{number}.jpg", "width": 640, "height": 480, "license": 2}


def _annotation(number):
    return {
        "segmentation": [[number + 0.25, 2.5, 30, 40, 5.125, 6]],
        "area": number * 3.7 + 1,
        "iscrowd": int(number % 9 == 0),
        "image_id": 10 * (number * 7 % 20) + 7,
        "bbox": [number, 2.5, 30.1, 1e2],
        "category_id": 1 + 17 * (number % 2),
        "id": number + 1000,
    }


def _content():
    return {
        "info": {"description": "made up"},
        "images": [_image(number) for number in range(20)],
        "annotations": [_annotation(number) for number in range(COUNT)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }


def _load(path: Path):
    """Return all that loading a file results in."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fields = vars(CocoIndex.load(path))
        except DataError as error:
            return str(error)
    arrays = {name: (array.dtype, array.tolist()) for name, array in fields.items() if isinstance(array, np.ndarray)}
    others = {name: value for name, value in fields.items() if name not in arrays}
    return arrays, others, [str(warning.message) for warning in caught]


@pytest.fixture
def same(tmp_path, monkeypatch):
    """Return a function that loads a file in pieces and as a whole, compares them, and says if the pieces were used."""
    monkeypatch.setattr(pieces, "PIECE", 1500)

    def compare(text: bytes) -> bool:
        path = tmp_path / "annotations.json"
        path.write_bytes(text)
        whole = _load(path)
        with monkeypatch.context() as context:
            context.setattr(annotation_file, "LEAST_SIZE", 0)
            assert repr(_load(path)) == repr(whole)  # NaN equals NaN
        return bool(text) and read_pieces(path) is not None

    return compare


def _text(change=lambda content: None, **options) -> bytes:
    content = _content()
    content = change(content) or content
    return json.dumps(content, **options).encode()


def _ordered(*names):
    return lambda content: {name: content[name] for name in names}


def _all(**fields):
    return lambda content: [record.update(fields) for record in content["annotations"]] and None


def _one(row, **fields):
    return lambda content: content["annotations"][row].update(fields)


SOUND = {
    "COCO's order": _text(),
    "no spaces": _text(separators=(",", ":")),
    "one field a line": _text(indent=2),
    "with a byte order mark": b"\xef\xbb\xbf" + _text(),
    "annotations first": _text(_ordered("annotations", "images", "categories")),
    "annotations last": _text(_ordered("images", "categories", "annotations")),
    "images last": _text(_ordered("categories", "annotations", "images")),
    "no ids and areas": _text(lambda c: [(r.pop("id"), r.pop("area"), r.pop("iscrowd")) for r in c["annotations"]] * 0),
    "whole numbers as floats": _text(_all(category_id=18.0, iscrowd=1.0, id=5.0)),
    "a long record": _text(_one(40, segmentation=[[1.5] * 2000])),
    "objects in a record": _text(_one(40, attributes=[{"a": 1}, {"b": 2}, {"c": "}, {"}])),
    "objects in all records": _text(_all(keypoints=[{"x": 1}, {"y": 2}])),
    "text that looks like a cut": _text(_one(40, note='}, {"id": 5}, {')),
    "long run-length encoding": _text(_one(30, segmentation={"counts": [1, 2] * 900, "size": [480, 640]})),
    "keys twice": _text().replace(b'"categories":', b'"images": [], "categories": 5, "images": [' +
                                  json.dumps(_image(0)).encode() + b'], "categories":'),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_pieces_equal_the_whole(same, name):
    same(SOUND[name])


@pytest.mark.parametrize("name", [*SOUND][:10])
def test_ordinary_files_are_read_in_pieces(same, name):
    assert same(SOUND[name])


ODD = {
    "info that names the list": _text(lambda c: c["info"].update(x='"annotations": [{}, {}]', y="annotations")),
    "the list twice": _text() [:-1] + b', "annotations": [' + json.dumps(_annotation(3)).encode() + b"]}",
    "the list twice, the second longer": b'{"annotations": [{"id": 1}, {"id": 2}], ' + _text()[1:],
    "another list of the same kind": _text(lambda c: c.update(more=c["annotations"])),
    "its mark is there already": _text() [:-1] + b', "rest": []}',
    "escaped name": _text() [:-1] + b', "\\u0061nnotations": []}',
    "a list in a list": _text(lambda c: c.update(annotations=[c["annotations"]])),
    "one annotation": _text(lambda c: c.update(annotations=c["annotations"][:1])),
    "two annotations": _text(lambda c: c.update(annotations=c["annotations"][:2])),
    "no annotation": _text(lambda c: c.update(annotations=[])),
    "no list": _text(lambda c: c.pop("annotations") and None),
    "no images": _text(lambda c: c.pop("images") and None),
    "no categories": _text(lambda c: c.pop("categories") and None),
    "an object instead": _text(lambda c: c.update(annotations={"a": {}, "b": {}})),
    "UTF-16": _text().decode().encode("utf-16"),
    "huge ids": _text(_one(40, id=2**53 + 1)),
    "huge ids of images": _text(lambda c: [c["images"][3].update(id=2**60 + 1),
                                           *(r.update(image_id=2**60 + 1) for r in c["annotations"][3::20])] * 0),
    "ids beyond": _text(_one(40, id=2**63)),
    "the number of a missing id": _text(_one(40, id=-(2**63))),
    "half an id": _text(_one(40, category_id=1.5)),
    "truth values": _text(_all(iscrowd=False)),
    "another flag": _text(_one(50, iscrowd=2)),
    "NaN in a box": _text(_one(50, bbox=[1, 2, float("nan"), 3])),
    "NaN in an outline": _text(_one(50, segmentation=[[float("nan")]])),
    "no area": _text(_one(50, area=None)),
    "negative width": _text(_one(50, bbox=[1, 2, -3, 4])),
    "unknown image": _text(_one(20, image_id=4)),
    "the same twice": _text(lambda c: c["annotations"].append(c["annotations"][0])),
    "text as a box": _text(_one(55, bbox="1, 2, 3, 4")),
    "no object": _text(lambda c: c["annotations"].insert(50, None)),
    "bad image": _text(lambda c: c["images"][19].update(width=0)),
    "bad name": _text(lambda c: c["images"][19].update(file_name="../a.jpg")),
    "bad class": _text(lambda c: c["categories"][1].update(name="")),
    "more after the end": _text() + b"x",
    "too many brackets": _text().replace(b'}], "categories"', b'}]], "categories"'),
    "a comma too many": _text().replace(b'}], "categories"', b'},], "categories"'),
    "a number broken off": _text().replace(b'"id": 1050}', b'"id": 1050.}'),
    "invalid UTF-8": _text(_one(40, segmentation="note")).replace(b"note", b"n\xffte"),
    "only the name": b'{"annotations"',
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_files_give_the_same_result_in_pieces(same, name):
    same(ODD[name])


def test_files_cut_anywhere_give_the_same_error(same):
    text = _text()
    for end in range(1, len(text), 1499):
        same(text[:end])


def test_any_size_of_a_piece_gives_the_same_result(same, monkeypatch):
    for size in (230, 300, 471, 1024, 9999, 10**6):
        monkeypatch.setattr(pieces, "PIECE", size)
        assert same(_text())


@pytest.mark.parametrize("failure", ["no process", "killed", "half"])
def test_the_second_process_may_fail(same, monkeypatch, failure):
    def fail(*_):
        raise OSError

    monkeypatch.setattr(pieces, "can_fork", lambda: True)
    if failure == "no process":
        monkeypatch.setattr(os, "fork", fail)
    if failure == "killed":
        monkeypatch.setattr(pieces, "_send_range", fail)
    if failure == "half":
        monkeypatch.setattr(pieces, "_send_range", lambda *args: args[-1].write(np.array([5000, 20, 7])))
    assert same(_text())


@pytest.mark.parametrize("can_fork", [True, False])
def test_one_process_gives_the_same_as_two(same, monkeypatch, can_fork):
    monkeypatch.setattr(pieces, "can_fork", lambda: can_fork)
    assert same(_text())
    assert same(SOUND["images last"])


def test_real_annotations_in_pieces(real_coco, same):
    assert same((real_coco / "annotations" / "instances_val2017.json").read_bytes())
