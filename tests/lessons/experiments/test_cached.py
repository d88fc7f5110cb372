import torch

from coursekit.data import load
from coursekit.detector import FPN, Backbone
from coursekit.detector.backbone import load_backbone
from coursekit.lessons.experiments.cached import cache_features, detector_on, look, recall_by_size, train_on

SIZES = [[16.0], [32.0], [64.0]]


def _kept(folder) -> tuple[Backbone, object]:
    torch.manual_seed(0)
    backbone = load_backbone(pretrained=False).eval()
    return backbone, cache_features(load(folder, "train"), backbone, side=64, batch=2)


def test_kept_maps_are_those_of_the_backbone(coco_folder):
    backbone, kept = _kept(coco_folder)
    assert [tuple(one.shape[2:]) for one in kept.maps] == [(8, 8), (4, 4), (2, 2)]
    assert kept.channels == kept.levels(3, 4, 5).channels
    assert kept.levels(5).strides == [32]
    assert len(kept) == 3
    assert kept.sizes[0] == (48, 64)
    with torch.no_grad():
        again = cache_features(kept.dataset, backbone, side=64, batch=1)
    torch.testing.assert_close(again.maps[1].float(), kept.maps[1].float(), rtol=0.05, atol=0.05)


def test_what_comes_after_learns_and_the_same_seed_gives_the_same(coco_folder):
    _, kept = _kept(coco_folder)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        detector = detector_on(kept, FPN(kept.channels, 16), 16, SIZES, hidden=16)
        before = detector.fpn.lateral[0].weight.clone()
        train_on(detector, kept, epochs=2, batch=2)
        assert not torch.equal(before, detector.fpn.lateral[0].weight)
        found.append(detector.fpn.lateral[0].weight.clone())
    assert torch.equal(*found)
    proposals, results = look(detector, kept)
    assert len(proposals) == 3
    assert {one["image_id"] for one in results} <= {7, 17, 27}


def test_recall_by_size():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 50, 50]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 1])}]
    assert recall_by_size([boxes[:1]], targets, [0, 32, 96]) == [1.0, 0.0]
    assert recall_by_size([boxes[:0]], targets, [0, 32, 96]) == [0.0, 0.0]
