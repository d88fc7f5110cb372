from dataclasses import replace

import numpy as np
import pytest
import torch

from coursekit.data import load
from coursekit.evaluation import METRICS, detect, evaluate, precision_curve, run, score, to_coco_results


def _noisy_detections(dataset, seed):
    """The truth, shaken; some left out, some doubled, some of another class, some out of nothing; crowds hit, too."""
    rng = np.random.default_rng(seed)
    results = []
    for index in range(len(dataset)):
        target = dataset.target(index)
        boxes = torch.cat([target["boxes"], target["crowd_boxes"]])
        labels = torch.cat([target["labels"], torch.ones(len(target["crowd_boxes"]), dtype=torch.int64)])
        for box, label in zip(boxes.numpy(), labels.tolist(), strict=True):
            for _ in range(rng.choice(3, p=[0.2, 0.6, 0.2])):
                moved = box + rng.normal(0, 0.08, 4) * np.tile(box[2:] - box[:2], 2)
                wrong = int(rng.integers(1, len(dataset.classes) + 1))
                chosen = wrong if rng.random() < 0.1 else label
                found = {
                    "boxes": torch.tensor(moved)[None],
                    "labels": torch.tensor([chosen]),
                    "scores": torch.tensor([round(float(rng.random()), 2)]),  # with ties
                }
                results += to_coco_results([found], [target["image_id"]], dataset.category_ids)
    return results


@pytest.mark.parametrize("seed", range(3))
def test_hotcoco_gives_pycocotools_numbers_on_real_records(real_coco, seed):
    dataset = load(real_coco, "val")
    results = _noisy_detections(dataset, seed)
    ours, theirs = score(results, dataset), score(results, dataset, engine="pycocotools")
    assert 0.1 < ours["AP"] < 0.9
    for name in METRICS:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-9), name


def test_the_truth_itself_scores_one(real_coco):
    dataset = load(real_coco, "train").first(20)
    found = [dataset.target(index) for index in range(20)]
    detections = [{"boxes": t["boxes"], "labels": t["labels"], "scores": torch.ones(len(t["labels"]))} for t in found]
    numbers = score(to_coco_results(detections, dataset.image_ids, dataset.category_ids), dataset)
    assert numbers["AP"] == pytest.approx(1)
    assert numbers["AR_100"] == pytest.approx(1)


def test_only_the_images_of_the_data_set_count(real_coco):
    whole = load(real_coco, "train")
    few = whole.first(5)
    results = _noisy_detections(few, 0)
    assert score(results, few)["AP50"] > 3 * score(results, whole)["AP50"]


def test_results_are_in_cocos_form():
    detections = [{"boxes": torch.tensor([[1.0, 2, 4, 6]]), "labels": torch.tensor([2]), "scores": torch.tensor([0.5])}]
    assert to_coco_results(detections, [42], [1, 18]) == [
        {"image_id": 42, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5}
    ]


def test_nothing_found_scores_zero(coco_folder):
    dataset = load(coco_folder, "val")
    assert score([], dataset)["AP"] == score([], dataset, engine="pycocotools")["AP"] == 0
    assert score([], dataset)["AP_large"] == -1  # there is nothing large to find


def test_the_curves_mean_is_ap50(real_coco):
    dataset = load(real_coco, "val")
    results = _noisy_detections(dataset, 1)
    areas = [np.mean(precision_curve(results, dataset, label)) for label in range(1, len(dataset.classes) + 1)]
    assert np.mean([area for area in areas if area >= 0]) == pytest.approx(score(results, dataset)["AP50"])


def test_a_detector_on_a_data_set(coco_folder, tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, least_score=0.0)
    dataset = load(coco_folder, "val")
    results = detect(tiny_detector.train(), dataset, batch_size=2)
    assert tiny_detector.training  # left as it was
    assert {result["image_id"] for result in results} == set(dataset.image_ids)
    assert {result["category_id"] for result in results} <= {1, 18}
    assert set(evaluate(tiny_detector, dataset)) == set(METRICS)


def test_run_gives_boxes_on_the_cpu_in_float32(tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, least_score=0.0)
    found = run(tiny_detector, [torch.zeros(3, 40, 50, dtype=torch.uint8)])[0]
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert found["labels"].dtype == torch.int64
