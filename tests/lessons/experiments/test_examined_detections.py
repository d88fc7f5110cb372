import json

import pytest
import torch

from coursekit.data import load
from coursekit.evaluation import to_coco_results
from coursekit.lessons.experiments import examined_detections
from coursekit.lessons.experiments.lesson07_run import stand_in


@pytest.fixture(scope="module")
def dataset():
    return load("mini", "val").head(3)


class Perfect(torch.nn.Module):
    """Detects the ground truth of a data set, image after image."""

    def __init__(self, dataset):
        super().__init__()
        self.targets = iter([dataset.target(n) for n in range(len(dataset))])

    def forward(self, images):
        target = next(self.targets)
        return [{"boxes": target["boxes"], "labels": target["labels"], "scores": torch.ones(len(target["labels"]))}]


def test_a_detector_that_finds_something_is_examined_itself(dataset, capsys):
    own, detections = examined_detections.examined(Perfect(dataset), dataset)
    assert own == to_coco_results(detections, dataset.image_ids, dataset.category_ids)
    assert capsys.readouterr().out == ""


def test_in_place_of_one_that_finds_nothing_a_stand_in_is(dataset, capsys):
    own, detections = examined_detections.examined(Nothing(), dataset)
    assert own == []
    assert sum(len(detection["scores"]) for detection in detections) > 10
    assert "AP50 0.00" in capsys.readouterr().out


class Nothing(torch.nn.Module):
    def forward(self, images):
        none = torch.empty(0)
        return [{"boxes": none.reshape(0, 4), "labels": none.long(), "scores": none} for _ in images]


def test_a_stand_in_is_named_where_training_is_asked_about(dataset):
    results = to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids)
    assert examined_detections.who_is_it(results, list(results)) == ""
    assert "made from the ground truth" in examined_detections.who_is_it([], results)


def test_two_files_differ_in_the_classes_alone(dataset):
    right, wrong = examined_detections.write_twice(stand_in(dataset), dataset)
    assert {record["category_id"] for record in right} <= set(dataset.category_ids)
    labels = [dataset.category_ids.index(record["category_id"]) + 1 for record in right]
    assert [record["category_id"] for record in wrong] == labels
    assert all(one["bbox"] == other["bbox"] for one, other in zip(right, wrong, strict=True))


def test_the_fullest_image_has_the_most_classes():
    scores = torch.tensor([0.9, 0.8, 0.2])
    labels = [[1, 1, 2], [1, 2, 3], [4, 4, 4]]
    assert examined_detections.fullest([{"labels": torch.tensor(each), "scores": scores} for each in labels]) == 1


def test_a_panel_shows_confident_detections_only(dataset):
    detection = stand_in(dataset)[0]
    image, shown, classes = examined_detections.panel(dataset, 0, detection)
    assert image.shape[0] == 3
    assert len(shown["boxes"]) == int((detection["scores"] > 0.3).sum())
    assert classes == dataset.classes


def test_the_first_object_is_no_crowd(coco_folder):
    dataset = load(coco_folder, "train")
    assert examined_detections.first_object(dataset, 1)["id"] == 3
    assert examined_detections.first_object(dataset, 2) == {}


def test_the_files_are_coco_s(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids)
    truth, found = examined_detections.write_coco_files(results, dataset)
    assert json.loads((tmp_path / found).read_text()) == results
    assert json.loads((tmp_path / truth).read_text()) == dataset.ground_truth()
    assert "runs/09/detections.json: 0." in capsys.readouterr().out
