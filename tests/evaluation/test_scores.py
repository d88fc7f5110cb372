import copy
import gc
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.evaluation import METRICS, coco, evaluate, precision_curve, predict_dataset, score
from coursekit.training import Evaluate, TrainConfig, train
from tests.evaluation.test_coco import ENGINES, noisy_detections


@pytest.fixture
def built(monkeypatch):
    """Record how many images each ground truth has that the engine builds."""
    seen = []
    build = coco.build

    def counted(gt, images, classes, engine):
        seen.append(images)
        return build(gt, images, classes, engine)

    monkeypatch.setattr(coco, "build", counted)
    return seen


@pytest.fixture
def open_detector(tiny_detector):
    """Return a detector that keeps all detections, whatever their scores."""
    tiny_detector.options = replace(tiny_detector.options, box_score_thresh=0.0)
    return tiny_detector


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_scores_of_real_records_agree_with_each_other(real_coco, engine):
    dataset = load(real_coco, "val")
    results = noisy_detections(dataset, 5)
    scores = evaluate(results, dataset, engine=engine)
    assert scores.metrics == score(results, dataset, engine=engine)
    assert [of_class.name for of_class in scores.per_class] == list(scores.curves) == dataset.classes
    with_boxes = [of_class for of_class in scores.per_class if of_class.boxes]
    assert np.mean([of_class.AP for of_class in with_boxes]) == pytest.approx(scores.metrics["AP"])
    assert np.mean([of_class.AP50 for of_class in with_boxes]) == pytest.approx(scores.metrics["AP50"])
    label = dataset.classes.index("person") + 1
    assert scores.curves["person"] == pytest.approx(precision_curve(results, dataset, label), abs=1e-9)
    mean = np.mean(scores.curves["person"])
    assert mean == pytest.approx(scores.per_class[label - 1].AP50)


def test_boxes_and_images_are_those_of_the_file(real_coco):
    dataset = load(real_coco, "val")
    content = json.loads(dataset.annotation_file.read_text())
    for of_class in evaluate([], dataset).per_class:
        images = [
            record["image_id"]
            for record in content["annotations"]
            if record["category_id"] == of_class.category_id and not record["iscrowd"]
        ]
        assert (of_class.boxes, of_class.images) == (len(images), len(set(images))), of_class.name


def test_of_part_of_a_data_set_only_its_boxes_count(real_coco):
    part = load(real_coco, "val").head(10)
    scores = evaluate(noisy_detections(part, 0), part)
    singles = sum(len(part.target(place)["boxes"]) for place in range(10))
    assert sum(of_class.boxes for of_class in scores.per_class) == singles
    absent = [of_class for of_class in scores.per_class if not of_class.boxes]
    assert absent
    for of_class in absent:
        assert (of_class.images, of_class.AP, of_class.AP50) == (0, -1, -1)
        assert scores.curves[of_class.name] == [-1] * 101


def test_a_list_a_results_file_and_an_annotation_file_give_the_same(real_coco, tmp_path):
    dataset = load(real_coco, "val")
    results = noisy_detections(dataset, 6)
    (tmp_path / "results.json").write_text(json.dumps(results))
    annotations = tmp_path / "annotations.json"  # without the images
    annotations.write_bytes(dataset.annotation_file.read_bytes())
    expected = evaluate(results, dataset)
    assert expected.metrics["AP"] > 0.1
    assert evaluate(tmp_path / "results.json", dataset) == expected
    assert evaluate(str(tmp_path / "results.json"), str(annotations)) == expected
    assert evaluate(results, annotations) == expected


def test_a_detector_scores_what_its_detections_score(coco_folder, open_detector):
    dataset = load(coco_folder, "val")
    scores = evaluate(open_detector, dataset, batch_size=1)
    assert set(scores.metrics) == set(METRICS)
    assert scores == evaluate(predict_dataset(open_detector, dataset, batch_size=1), dataset)


def test_scores_go_into_json_under_stable_names(coco_folder):
    results = [{"image_id": 7, "category_id": 18, "bbox": [4, 5, 20, 10], "score": 0.5}]
    answer = json.loads(json.dumps(evaluate(results, load(coco_folder, "val")).as_json(), allow_nan=False))
    assert list(answer) == ["metrics", "per_class", "curves"]
    assert tuple(answer["metrics"]) == METRICS
    assert answer["per_class"][0] == {
        "name": "person", "category_id": 1, "boxes": 2, "images": 2, "AP": 0, "AP50": 0,
    }  # fmt: skip
    assert answer["per_class"][1]["AP"] == pytest.approx(1)
    assert len(answer["curves"]["dog"]) == 101


def test_classes_of_one_name_keep_their_own_curves(coco_folder):
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    for category in content["categories"]:
        category["name"] = "thing"
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="classes share a name: 'thing'"):
        assert list(evaluate([], path).curves) == ["thing (1)", "thing (18)"]


PERFECT = [
    {"image_id": 7, "category_id": 18, "bbox": [4, 5, 20, 10], "score": 0.9},
    {"image_id": 7, "category_id": 1, "bbox": [30, 8, 16, 30], "score": 0.8},
    {"image_id": 17, "category_id": 1, "bbox": [0, 0, 40, 40], "score": 0.7},
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ids", [[0, 1, 2, 3], [1, 1, 1, 1], [0, 0, 5, 5], ["4", 3.0, None, 9]])
def test_perfect_detections_score_1_whatever_the_ids_of_the_annotations(coco_folder, engine, ids):
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    for record, id_ in zip(content["annotations"], ids, strict=True):
        record["id"] = id_
    path.write_text(json.dumps(content))
    assert evaluate(PERFECT, path, engine=engine).metrics["AP"] == pytest.approx(1)
    annotations = load(coco_folder, "val").ground_truth()["annotations"]
    assert len({record["id"] for record in annotations} - {0}) == 4  # so that pycocotools agrees, on its own, too


@pytest.mark.filterwarnings("ignore")
def test_without_ground_truth_there_is_no_score(coco_folder, tiny_detector):
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    for record in content["annotations"]:
        record["iscrowd"] = "0"
    path.write_text(json.dumps(content))
    for predictions, gt in (([], path), (PERFECT, load(coco_folder, "val")), (tiny_detector, load(coco_folder, "val"))):
        with pytest.raises(DataError, match=r"no box to train on or to score.*4 × its iscrowd is text"):
            evaluate(predictions, gt)


def test_a_training_builds_the_ground_truth_once(coco_folder, open_detector, built):
    val_set, seen = load(coco_folder, "val"), []

    def scored(model):
        seen.append(evaluate(model, val_set).metrics)
        return seen[-1]

    train(open_detector, load(coco_folder, "train"), TrainConfig(epochs=3, batch_size=3), hooks=[Evaluate(scored)])
    assert len(seen) == 3
    assert len(built) == 1


def test_another_data_set_gets_a_ground_truth_of_its_own(coco_folder, built):
    whole = load(coco_folder, "val")
    results = [{"image_id": 7, "category_id": 18, "bbox": [4.0, 5, 20, 10], "score": 0.5}]
    assert evaluate(results, whole).metrics["AP"] == pytest.approx(0.5)  # the dog, but not the persons
    none = replace(whole, rows=whole.rows[1:])
    assert evaluate([], none).per_class[1].boxes == 0
    assert evaluate([], none).metrics["AP"] == 0
    assert evaluate(results, whole).metrics["AP"] == pytest.approx(0.5)
    assert len(built) == 2


@pytest.mark.slow
def test_the_ground_truth_goes_with_its_data_set(coco_folder, built):
    before = len(coco._BUILT)
    dataset = load(coco_folder, "val")
    evaluate([], dataset)
    assert len(coco._BUILT) == before + 1
    del dataset
    gc.collect()
    assert len(coco._BUILT) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluation_changes_none_of_its_inputs(coco_folder, engine):
    dataset = load(coco_folder, "val")
    results = [{"image_id": 7, "category_id": 18, "bbox": [4.0, 5, 20, 10], "score": 0.5}]
    before, index = copy.deepcopy(results), copy.deepcopy(dataset.index)
    for _ in range(2):
        evaluate(results, dataset, engine=engine)
        score(results, dataset, engine=engine)
    assert results == before
    for name in ("boxes", "areas", "image_ids", "category_ids", "annotation_ids", "is_crowd", "offsets"):
        np.testing.assert_array_equal(getattr(dataset.index, name), getattr(index, name))
    assert dataset.rows.tolist() == [0, 1]


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_a_detector_as_it_was(coco_folder, open_detector, training):
    open_detector.train(training)
    modes = [module.training for module in open_detector.modules()]
    state = copy.deepcopy(open_detector.state_dict())
    evaluate(open_detector, load(coco_folder, "val"))
    assert [module.training for module in open_detector.modules()] == modes
    for name, value in open_detector.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert all(
        parameter.requires_grad and parameter.grad is None
        for parameter in open_detector.parameters()
        if parameter.requires_grad
    )


def test_invalid_results_are_refused(coco_folder):
    with pytest.raises(DataError, match=r"results: 1 of 1 .*\n  \[0\]: score nan is not in 0 to 1"):
        evaluate(
            [{"image_id": 7, "category_id": 18, "bbox": [4.0, 5, 20, 10], "score": float("nan")}],
            load(coco_folder, "val"),
        )


def test_a_detector_needs_images(coco_folder, open_detector):
    path = coco_folder / "annotations" / "instances_val2017.json"
    with pytest.raises(ConfigError, match="a detector needs images"):
        evaluate(open_detector, path)


def test_an_unknown_engine_is_refused_before_any_work(coco_folder, open_detector):
    open_detector.forward = None
    with pytest.raises(ConfigError, match="engine 'fast'"):
        evaluate(open_detector, load(coco_folder, "val"), engine="fast")


_TWO = """
import json, sys
from dataclasses import replace
import torch
import torch.distributed as dist
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.evaluation import evaluate

folder, store, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
if rank >= 0:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(0)
model = build_detector(num_classes=2, size=64, channels=16, hidden=16, pretrained=False)
model.options = replace(model.options, box_score_thresh=0.0)
print(json.dumps(evaluate(model, load(folder, "train"), batch_size=1).as_json()))
"""


@pytest.mark.long
def test_two_processes_both_get_the_scores_of_one(coco_folder, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    def start(rank):
        command = [sys.executable, "-c", _TWO, str(coco_folder), str(tmp_path / "store"), str(rank)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    first, second, alone = (
        json.loads(process.communicate(timeout=240)[0].splitlines()[-1])
        for process in [start(rank) for rank in (0, 1, -1)]
    )
    assert first == second == alone
    assert len(alone["per_class"]) == 2
