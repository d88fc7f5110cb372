import torch
from torch import nn

from coursekit.data import load
from coursekit.lessons.experiments import drawn_scene


class Finds(nn.Module):
    """Finds the same two boxes in every image."""

    def forward(self, images):
        boxes = torch.tensor([[10.0, 10, 60, 60], [20.0, 20, 50, 50]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 3]), "scores": torch.tensor([0.9, 0.4])} for _ in images]


def test_confident_boxes_are_shown_with_names_and_scores(monkeypatch):
    shown = []
    monkeypatch.setattr(drawn_scene.show, "image_row", lambda *args: shown.append(args))
    picture = drawn_scene.draw("🐈🐕")
    drawn_scene.show_found(picture, {"mine": (Finds(), ["cat", "dog", "cow"])})
    image, boxes, names = shown[0][0]["mine"]
    assert image is picture
    assert picture.dtype is torch.uint8
    assert names == ["cat 0.90"]
    assert boxes.tolist() == [[10, 10, 60, 60]]


def test_detections_of_other_classes_are_dropped():
    everything = load("mini", "val").head(3)
    third = everything.category_ids[2]
    images = [everything[n] for n in range(3)]
    fewer = Fewer(images)
    fewer.image_ids, fewer.category_ids = everything.image_ids, [third]
    results = drawn_scene.detections_of(Finds(), everything, fewer)
    assert [record["category_id"] for record in results] == [third] * 3
    assert [record["image_id"] for record in results] == everything.image_ids


class Fewer(list):
    """A data set of the same images with fewer classes."""
