"""`coursekit evaluate` and `coursekit compare`, as their user types them."""

import json

import pytest


@pytest.fixture
def found(coco_folder, tmp_path):
    """The train split's truth as perfect detections."""
    truth = coco_folder / "annotations" / "instances_train2017.json"
    records = [one for one in json.loads(truth.read_text())["annotations"] if not one["iscrowd"]]
    results = [{name: one[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9} for one in records]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(results))
    return path, truth, results


def test_a_results_file_is_scored_against_an_annotation_file(coursekit, found, tmp_path):
    path, truth, _ = found
    done = coursekit("evaluate", path, "--data", truth, "--json", "--gallery", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert (scores["AP"], scores["AP50"]) == (1.0, 1.0)
    assert {one["name"]: one["boxes"] for one in scores["per_class"]} == {"person": 2, "dog": 1}
    assert {"errors.png", "confusion.png", "curves.png"} <= {one.name for one in (tmp_path / "pictures").iterdir()}


def test_a_faulty_results_file_ends_with_the_records_position(coursekit, found):
    path, truth, results = found
    path.write_text(json.dumps([*results, results[0] | {"score": 1.5}]))
    done = coursekit("evaluate", path, "--data", truth)
    assert done.returncode == 2
    assert "found.json" in done.stderr
    assert "3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_against_itself_shows_no_difference(coursekit, coco_folder, tmp_path):
    from coursekit.data import load

    dataset = load("mini", "val")
    records = [one for one in dataset.truth()["annotations"] if not one["iscrowd"]][::2]
    results = [{name: one[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9} for one in records]
    path = tmp_path / "half.json"
    path.write_text(json.dumps(results))
    done = coursekit("compare", path, path, "--data", "mini", "--json")
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)
    assert comparison["ap"]["a"] == comparison["ap"]["b"] > 0.3
    assert comparison["verdict"].startswith("no difference")
