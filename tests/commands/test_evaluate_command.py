"""`coursekit evaluate` and `coursekit compare`, as their user types them."""

import json

import pytest

from coursekit.data import load


def _as_results(annotations):
    """Make results of ground truth, without crowds, each with a score of 0.9."""
    names = "image_id", "category_id", "bbox"
    records = [record for record in annotations if not record["iscrowd"]]
    return [{name: record[name] for name in names} | {"score": 0.9} for record in records]


@pytest.fixture(scope="module")
def mini():
    """The val split of `mini`, loaded before a test has a cache of its own: there, it would be drawn again."""
    return load("mini", "val")


@pytest.fixture
def perfect(coco_folder, tmp_path):
    """A results file with the ground truth of the train split, its annotation file, and the results."""
    gt_file = coco_folder / "annotations" / "instances_train2017.json"
    results = _as_results(json.loads(gt_file.read_text())["annotations"])
    path = tmp_path / "perfect.json"
    path.write_text(json.dumps(results))
    return path, gt_file, results


def test_a_results_file_is_scored_against_an_annotation_file(coursekit, perfect, tmp_path):
    path, gt_file, _ = perfect
    done = coursekit("evaluate", path, "--data", gt_file, "--json", "--gallery", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert (scores["AP"], scores["AP50"]) == (1.0, 1.0)
    assert {each["name"]: each["boxes"] for each in scores["per_class"]} == {"person": 2, "dog": 1}
    assert {"errors.png", "confusion.png", "curves.png"} <= {file.name for file in (tmp_path / "pictures").iterdir()}


def test_a_faulty_results_file_is_refused_with_the_position_of_the_record(coursekit, perfect):
    path, gt_file, results = perfect
    path.write_text(json.dumps([*results, results[0] | {"score": 1.5}]))
    done = coursekit("evaluate", path, "--data", gt_file)
    assert done.returncode == 2
    assert "perfect.json" in done.stderr
    assert "3" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_file_compared_with_itself_shows_no_difference(coursekit, mini, tmp_path):
    results = _as_results(mini.ground_truth()["annotations"])[::2]
    path = tmp_path / "half.json"
    path.write_text(json.dumps(results))
    done = coursekit("compare", path, path, "--data", mini.annotation_file, "--draws", 40, "--json")
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)
    assert comparison["ap"]["a"] == comparison["ap"]["b"] > 0.3
    assert comparison["verdict"].startswith("no difference")
