import pytest
import torch

from coursekit.data import load
from coursekit.detector import FPN, Backbone
from coursekit.detector.backbone import load_backbone
from coursekit.lessons.experiments.cached_features import (
    CachedFeatures,
    cache_features,
    detector_on,
    predict_on,
    train_on,
)

pytestmark = pytest.mark.slow

ANCHOR_SIZES = [[16.0], [32.0], [64.0]]


def _cached(folder) -> tuple[Backbone, CachedFeatures]:
    torch.manual_seed(0)
    backbone = load_backbone(pretrained=False).eval()
    return backbone, cache_features(load(folder, "train"), backbone, side=64, batch=2)


def test_cached_maps_are_those_of_the_backbone(coco_folder):
    backbone, cached = _cached(coco_folder)
    assert [tuple(level.shape[2:]) for level in cached.maps] == [(8, 8), (4, 4), (2, 2)]
    assert cached.channels == cached.levels(3, 4, 5).channels
    assert cached.levels(5).strides == [32]
    assert len(cached) == 3
    assert cached.sizes[0] == (48, 64)
    with torch.no_grad():
        one_by_one = cache_features(cached.dataset, backbone, side=64, batch=1)
    torch.testing.assert_close(one_by_one.maps[1].float(), cached.maps[1].float(), rtol=0.05, atol=0.05)


def test_a_detector_on_cached_features_learns_and_the_same_seed_gives_the_same_weights(coco_folder):
    _, cached = _cached(coco_folder)
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        detector = detector_on(cached, FPN(cached.channels, 16), 16, ANCHOR_SIZES, hidden=16)
        before = detector.fpn.lateral[0].weight.clone()
        train_on(detector, cached, epochs=2, batch=2)
        assert not torch.equal(before, detector.fpn.lateral[0].weight)
        weights.append(detector.fpn.lateral[0].weight.clone())
    assert torch.equal(*weights)
    proposals, results = predict_on(detector, cached)
    assert len(proposals) == 3
    assert {result["image_id"] for result in results} <= {7, 17, 27}
