import gc
import json

import numpy as np
import pytest
import torch

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.evaluation import Columns, check_results, evaluate, read_results, score
from coursekit.evaluation.columns import columns_of, decoded_columns
from coursekit.evaluation.results import read_columns
from tests.evaluation.test_results import FAULTS, GOOD

OTHER = {"image_id": 7, "category_id": 1, "bbox": [0, 0, 10.5, 20], "score": 1}
ODD = {
    "nothing detected": "[]",
    "other fields": json.dumps([GOOD | {"segmentation": [[1, 2]], "id": 3}, OTHER]),
    "ids as texts": json.dumps([GOOD | {"image_id": "7", "category_id": " 18 "}, OTHER]),
    "ids as whole floats": json.dumps([GOOD | {"image_id": 7.0}, OTHER]),
    "fields in another order": '[{"score": 0.5, "bbox": [1, 2, 3, 4], "category_id": 18, "image_id": 7}]',
    "a field twice": '[{"score": 0.1, "bbox": [1, 2, 3, 4], "category_id": 18, "image_id": 7, "score": 0.5}]',
}
BROKEN_FILES = {
    "not a list": '{"annotations": []}',
    "not closed": "[",
    "a list of lists": "[[7, 18, 1, 2, 3, 4, 0.5]]",
    "not UTF-8": b'[{"image_id": "\xff"}]',
    "empty": "  ",
} | {name: json.dumps([OTHER, GOOD | change, GOOD, GOOD]) for name, (change, _) in FAULTS.items()}


@pytest.fixture
def dataset(coco_folder):
    return load(coco_folder, "val")


def _write(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _columns(**changes):
    columns = Columns(np.array([7, 7]), np.array([18, 1]), np.array([[1.0, 2, 3, 4], [0, 0, 9, 9]]), np.array([0.5, 1]))
    return columns._replace(**changes)


@pytest.mark.parametrize("name", ODD)
def test_a_file_gives_the_same_arrays_as_its_list(dataset, tmp_path, name):
    path = _write(tmp_path, ODD[name])
    arrays, expected = read_columns(path, dataset), columns_of(read_results(path, dataset))
    for array, other in zip(arrays, expected, strict=True):
        assert array.dtype == other.dtype
        assert np.array_equal(array, other)


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_gives_the_same_message_as_its_list(dataset, tmp_path, name):
    path = _write(tmp_path, BROKEN_FILES[name])
    messages = []
    for read in (read_columns, read_results):
        with pytest.raises(DataError) as caught:
            read(path, dataset)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert str(path) in messages[0]


def test_arrays_score_as_their_list_does(dataset):
    results = [GOOD, OTHER, GOOD | {"bbox": [10, 10, 50, 30]}]
    columns = columns_of(results)
    assert score(columns, dataset) == score(results, dataset)
    assert evaluate(columns, dataset) == evaluate(results, dataset)


def test_no_detections_as_arrays_score_zero(dataset):
    empty = Columns(np.array([]), np.array([]), np.zeros((0, 4)), np.array([]))  # NumPy makes these floats
    assert score(empty, dataset) == score([], dataset)


def test_tensors_and_small_types_become_columns():
    given = _columns(boxes=torch.tensor([[1.0, 2, 3, 4], [0, 0, 9, 9]]), scores=np.array([0.5, 1], np.float32))
    columns = columns_of(given._replace(image_ids=np.array([7, 7], np.uint8)))
    assert [column.dtype for column in columns] == [np.int64, np.int64, np.float64, np.float64]
    assert all(np.array_equal(column, other) for column, other in zip(columns, _columns(), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": np.zeros((2, 5))},
        {"boxes": np.zeros(8)},
        {"image_ids": np.array([7])},
        {"image_ids": np.array([7.0, 7.5])},
        {"category_ids": np.array([True, False])},
        {"scores": np.array(["0.5", "1"])},
        {"scores": np.array([[0.5, 1]])},
        {"scores": 0.5},
    ],
)
@pytest.mark.parametrize("function", [score, evaluate, lambda columns, dataset: check_results(columns, dataset, "x")])
def test_arrays_of_another_form_are_refused(dataset, changes, function):
    with pytest.raises(DataError, match=r"expected arrays: image_ids and category_ids of N whole numbers, boxes"):
        function(_columns(**changes), dataset)


def test_faults_in_arrays_are_named_by_position(dataset):
    with pytest.raises(DataError, match=r"(?s)results: 1 of 2 detections can't be used.*\n  \[1\]: score 2.0 is not"):
        evaluate(_columns(scores=np.array([0.5, 2])), dataset)


@pytest.mark.parametrize("content", [b"[]", b"["])
@pytest.mark.parametrize("enabled", [True, False])
def test_decoding_leaves_garbage_collection_as_it_was(content, enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        decoded_columns(content)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
