import json

import pytest

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex

FOREIGN = [
    ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "a results file (detections)"),
    ([{"id": 1, "data": {}, "annotations": []}], "the JSON of Label Studio"),
    ([{"image": "a.jpg", "annotations": []}], "CreateML's format"),
    ([{"id": 1, "bbox": [1, 2, 3, 4]}], "but it is a list."),
    ([], "but it is a list."),
    ({"version": "5.0", "shapes": [], "imagePath": "a.jpg"}, "the LabelMe file of one image"),
    ({"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
    ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "an export of VIA or VoTT"),
    ({"images": [], "annotations": [{"caption": "a dog"}]}, "COCO's captions"),
    ({"images": {"1": {"id": 1}}, "annotations": [], "categories": []}, "the list `images` is an object"),
    ({}, "the list `images` is missing"),
]


@pytest.mark.parametrize(("content", "words"), FOREIGN)
def test_other_formats_are_named(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not COCO's format") as caught:
        CocoIndex.load(path)
    assert words in str(caught.value)


BROKEN = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
    (b"  <!DOCTYPE html><html>", "HTML or XML"),
    (b"PK\x03\x04" + bytes(30), "a .zip archive"),
    (b"\x1f\x8b" + bytes(30), "compressed with gzip"),
    ('{"categories": "Schildkröte"}'.encode("latin-1"), "not UTF-8 (byte 24 is 0xf6). Save the file as UTF-8."),
    (b'{"id": 1}\n{"id": 2}', "JSON Lines"),
    (b'{"images": [1,]}', "Remove the comma before the closing bracket."),
    (b'{"images": [],}', "Remove the comma before the closing bracket."),
    (b'{"images": [', "Download or export the file again."),
    (b"[" * 100_000, "Download or export the file again."),
]


@pytest.mark.parametrize(("content", "words"), BROKEN)
def test_broken_files_are_named_with_a_cure(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="broken JSON") as caught:
        CocoIndex.load(path)
    assert words in str(caught.value)
