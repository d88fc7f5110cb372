from dataclasses import replace

import pytest
import torch
from torch import nn

from coursekit.data import load
from coursekit.evaluation import inference, predict, predict_dataset, to_coco_results


def test_results_are_in_cocos_format():
    detections = [{"boxes": torch.tensor([[1.0, 2, 4, 6]]), "labels": torch.tensor([2]), "scores": torch.tensor([0.5])}]
    assert to_coco_results(detections, [42], [1, 18]) == [
        {"image_id": 42, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5}
    ]


def test_a_detector_on_a_data_set(coco_folder, tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, box_score_thresh=0.0)
    dataset = load(coco_folder, "val")
    results = predict_dataset(tiny_detector.train(), dataset, batch_size=2)
    assert tiny_detector.training  # left as it was
    assert {result["image_id"] for result in results} == set(dataset.image_ids)
    assert {result["category_id"] for result in results} <= {1, 18}


def test_predict_returns_boxes_on_the_cpu_in_float32(tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, box_score_thresh=0.0)
    detection = predict(tiny_detector, [torch.zeros(3, 40, 50, dtype=torch.uint8)])[0]
    assert detection["boxes"].dtype == detection["scores"].dtype == torch.float32
    assert detection["labels"].dtype == torch.int64


class _Fixed(nn.Module):
    """Detects the same in each image, and has a frozen part while the rest trains."""

    def __init__(self):
        super().__init__()
        self.part, self.frozen = nn.Dropout(), nn.BatchNorm2d(1)
        self.frozen.eval()

    def forward(self, images):
        assert not self.part.training
        boxes, labels, scores = torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([1]), torch.tensor([0.5])
        return [{"boxes": boxes, "labels": labels, "scores": scores} for _ in images]


def test_each_part_of_a_model_keeps_its_mode():
    model = _Fixed()
    predict(model, [torch.zeros(3, 4, 5, dtype=torch.uint8)])
    assert [module.training for module in (model, model.part, model.frozen)] == [True, True, False]


def test_a_model_that_fails_keeps_its_mode_too():
    class Broken(_Fixed):
        def forward(self, images):
            raise RuntimeError("broken")

    model = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        predict(model, [torch.zeros(3, 4, 5, dtype=torch.uint8)])
    assert model.training
    assert not model.frozen.training


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_share_the_images_and_miss_none(coco_folder, monkeypatch, world):
    dataset = load(coco_folder, "train")
    alone = predict_dataset(_Fixed(), dataset)
    monkeypatch.setattr(inference, "world_size", lambda: world)
    monkeypatch.setattr(inference, "gather_lists", list)
    together = []
    for rank in range(world):
        monkeypatch.setattr(inference, "rank", lambda rank=rank: rank)
        together += predict_dataset(_Fixed(), dataset)
    assert sorted(result["image_id"] for result in together) == sorted(result["image_id"] for result in alone)
