import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.records import Category
from coursekit.evaluation import check_results, read_results
from coursekit.evaluation.results import with_ids_of

GOOD = {"image_id": 7, "category_id": 18, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
IN_THE_FOLDER = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

FAULTS = {
    "x is NaN": ({"bbox": [math.nan, 2, 3, 4]}, "not finite"),
    "height is infinite": ({"bbox": [1, 2, 3, math.inf]}, "not finite"),
    "width is negative": ({"bbox": [1.0, 2.0, -3.0, 4.0]}, "negative width"),
    "three numbers": ({"bbox": [1, 2, 3]}, "not four numbers"),
    "five numbers": ({"bbox": [1, 2, 3, 4, 5]}, "not four numbers"),
    "a text in the box": ({"bbox": [1, 2, "3", 4]}, "not four numbers"),
    "no box": ({"bbox": None}, "bbox is None, not four numbers"),
    "score is NaN": ({"score": math.nan}, "score nan is not in 0 to 1"),
    "score is 50 per cent": ({"score": 50}, "score 50.0 is not in 0 to 1"),
    "score is negative": ({"score": -0.1}, "score -0.1 is not in 0 to 1"),
    "score is a text": ({"score": "0.5"}, "score is '0.5', not a number"),
    "score is true": ({"score": True}, "score is True, not a number"),
    "score is beyond floats": ({"score": 10**400}, "not a number"),
    "unknown image": ({"image_id": 8}, "image_id 8 is not among the 2 images"),
    "unknown class": ({"category_id": 2}, "category_id 2 is not among the categories"),
    "image by name": ({"image_id": "photo 7"}, "image_id is 'photo 7', not a whole number"),
    "half a class": ({"category_id": 1.5}, "category_id is 1.5, not a whole number"),
    "id beyond int64": ({"image_id": 2**63}, "image_id is 9223372036854775808, not"),
}


@pytest.fixture
def dataset(coco_folder):
    return load(coco_folder, "val")


def _write(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _refused(function, *arguments):
    with pytest.raises(DataError) as caught:
        function(*arguments)
    return str(caught.value)


def _others(count):
    return [GOOD | {"score": 0.001 * number} for number in range(count)]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_refused_with_its_position_and_reason(dataset, name):
    change, reason = FAULTS[name]
    message = _refused(check_results, [*_others(3), GOOD | change, *_others(5)[3:]], dataset, "results.json")
    assert message.startswith("results.json: 1 of 6 detections can't be used. Fix or remove them:\n  [3]: ")
    assert reason in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(("image_id", "category_id"), [("7", "18"), ("000000000007", 18.0), (7.0, "18.0")])
def test_exact_ids_may_be_text_or_floats_as_in_annotations(dataset, tmp_path, image_id, category_id):
    path = _write(tmp_path, [GOOD | {"image_id": image_id, "category_id": category_id}])
    assert read_results(path, dataset) == [GOOD]


def test_results_get_the_ids_of_other_classes_by_name():
    ours = [Category(1, "red "), Category(2, "blue"), Category(3, "green")]
    results = [GOOD | {"category_id": id_} for id_ in (1, 2, 3, 1)]
    theirs = [Category(1, "blue"), Category(7, "red")]
    assert [result["category_id"] for result in with_ids_of(results, ours, theirs)] == [7, 1, 7]
    assert with_ids_of(results, ours, ours) == results


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_in_a_file_as_well(dataset, tmp_path, name):
    change, reason = FAULTS[name]
    path = _write(tmp_path, [*_others(3), GOOD | change])
    message = _refused(read_results, path, dataset)
    assert message.startswith(f"{path}: 1 of 4 detections can't be used.")
    assert reason in message.split("\n  [3]: ")[1]


def test_missing_fields_and_records_of_another_type_are_named(dataset):
    short = {name: GOOD[name] for name in ("image_id", "bbox")}
    message = _refused(check_results, [GOOD, short, [1, 2], None], dataset, "results")
    assert "[1]: category_id and score missing" in message
    assert "[2]: a list instead of an object" in message
    assert "[3]: nothing instead of an object" in message


def test_the_same_detection_twice_is_named_with_the_first(dataset):
    message = _refused(check_results, [*_others(2), GOOD, *_others(5)[2:], dict(GOOD), dict(GOOD)], dataset, "results")
    assert message.split("\n")[1:] == ["  [6]: the same detection as [2]", "  [7]: the same detection as [2]"]


def test_alike_in_all_but_one_field_is_not_twice(dataset):
    others = [{"image_id": 17}, {"category_id": 1}, {"bbox": [1.0, 2.0, 3.0, 4.5]}, {"score": 0.25}]
    check_results([GOOD, *(GOOD | record for record in others)], dataset, "results")


def test_all_faults_come_together_each_record_with_its_first(dataset):
    bad = [GOOD | change for change, _ in FAULTS.values()]
    message = _refused(check_results, [GOOD, *bad], dataset, "results")
    lines = message.split("\n")
    assert lines[0].startswith(f"results: {len(FAULTS)} of {len(FAULTS) + 1} ")
    assert [line.split(":")[0].strip() for line in lines[1:11]] == [f"[{place}]" for place in range(1, 11)]
    assert lines[11:] == [f"  and {len(FAULTS) - 10} more"]


def test_results_of_another_data_set_are_recognized(dataset):
    unknown = [record | {"image_id": 1000 + place} for place, record in enumerate(_others(9))]
    message = _refused(check_results, [GOOD, *unknown], dataset, "results.json")
    assert "9 are of images that" in message
    assert "another data set or split" in message
    assert str(dataset.annotation_file) in message
    assert "another data set" not in _refused(check_results, [*_others(9), GOOD | {"image_id": 8}], dataset, "results")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("[{", "broken JSON"),
        ("<html>not found</html>", "broken JSON"),
        ({"annotations": [GOOD]}, "expected a list of detections in COCO's format, got an object"),
        ("null", "expected a list of detections in COCO's format, got nothing"),
    ],
)
def test_a_file_that_is_no_list_is_refused(dataset, tmp_path, content, reason):
    path = _write(tmp_path, content)
    message = _refused(read_results, path, dataset)
    assert message.startswith(f"{path}: ")
    assert reason in message


def test_a_file_that_is_no_text_is_refused(dataset, tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b"\xff\xfe\x00[")
    assert "broken JSON" in _refused(read_results, path, dataset)


def test_a_missing_file_and_a_folder_are_refused(dataset, tmp_path):
    assert "no such results file" in _refused(read_results, tmp_path / "gone.json", dataset)
    assert "can't be read" in _refused(read_results, tmp_path, dataset)


def test_an_empty_list_is_valid(dataset, tmp_path):
    assert read_results(_write(tmp_path, []), dataset) == []


def test_other_fields_are_dropped(dataset, tmp_path):
    path = _write(tmp_path, [GOOD | {"id": 3, "segmentation": [[1, 2, 3, 4]]}])
    assert read_results(path, dataset) == [GOOD]


def test_numpy_numbers_and_whole_floats_are_valid(dataset):
    box = np.array([1, 2, 3, 4], np.float32)
    check_results([GOOD | {"image_id": np.int64(7), "bbox": box, "score": np.float32(0.25)}], dataset, "results")
    check_results([GOOD | {"image_id": 7.0, "bbox": (1, 2, 3, 4), "score": 1}], dataset, "results")


_numbers = st.floats(-1e4, 1e4)
_extents = st.floats(0, 1e4)
_valid = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from([7, 17]),
        "category_id": st.sampled_from([1, 18]),
        "bbox": st.tuples(_numbers, _numbers, _extents, _extents).map(list),
        "score": st.floats(0, 1),
    }
)


def _key(record):
    return record["image_id"], record["category_id"], *record["bbox"], record["score"]


_lists = st.lists(_valid, max_size=8, unique_by=_key)


@IN_THE_FOLDER
@given(results=_lists)
def test_valid_results_are_the_same_after_writing_and_reading(dataset, tmp_path, results):
    assert read_results(_write(tmp_path, results), dataset) == results


@IN_THE_FOLDER
@given(results=_lists, place=st.integers(0, 8), name=st.sampled_from(list(FAULTS)), field=st.booleans())
def test_a_fault_anywhere_is_found_there(dataset, tmp_path, results, place, name, field):
    place = min(place, len(results))
    fault = {key: value for key, value in GOOD.items() if key != "score"} if field else GOOD | FAULTS[name][0]
    results = [*results[:place], fault, *results[place:]]
    for message in (
        _refused(check_results, results, dataset, "results"),
        _refused(read_results, _write(tmp_path, results), dataset),
    ):
        assert f"1 of {len(results)} detections" in message
        assert f"\n  [{place}]: " in message
