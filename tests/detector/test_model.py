from dataclasses import replace

import pytest
import torch

from coursekit.detector import build_detector
from coursekit.errors import SettingError


def _target(boxes, labels):
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}


def test_losses_are_numbers_also_without_boxes(tiny_detector):
    images = [torch.rand(3, 48, 64), torch.rand(3, 64, 40)]
    losses = tiny_detector.train()(images, [_target([4.0, 5, 24, 15], [2]), _target([], [])])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_detections_are_in_pixels_of_the_image_given(tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, least_score=0.0)
    found = tiny_detector.eval()([torch.rand(3, 480, 640)])[0]
    assert len(found["boxes"])
    assert found["boxes"][:, 2].max() > 64  # it saw 64 pixels, and answers in 640
    assert found["boxes"][:, 2].max() <= 640
    assert set(found["labels"].tolist()) <= {1, 2}


def test_the_long_side_becomes_size(tiny_detector):
    images, _ = tiny_detector.transform([torch.rand(3, 480, 640), torch.rand(3, 300, 100)])
    assert [max(size) for size in images.image_sizes] == [64, 64]


def test_gradients_reach_what_is_trained_and_nothing_else():
    torch.manual_seed(0)
    model = build_detector(num_classes=2, size=64, channels=16, hidden=16, pretrained=False, frozen_stages=3)
    losses = model([torch.rand(3, 64, 64)], [_target([4.0, 5, 40, 50], [2])])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_classes": 0}, "list of classes is empty"), ({"num_classes": 2, "size": 10}, "size 10")],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(SettingError, match=words):
        build_detector(**options, pretrained=False)
