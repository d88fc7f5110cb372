import pytest
import torch

from coursekit.detector import from_torchvision
from coursekit.lessons.experiments.random_twin import (
    compare_detections,
    compare_losses,
    random_torchvision_detector,
    random_torchvision_fcos,
)


@pytest.mark.slow
def test_its_detections_differ_in_class_and_score():
    detector = random_torchvision_detector(5)
    image = torch.rand(3, 120, 160, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found,) = detector([image])
    assert found["boxes"].dtype == torch.float64
    assert found["labels"].unique().numel() > 1
    assert found["scores"].std() > 0.01


def _finds(boxes, labels):
    found = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}
    return lambda images: [found] * len(images)


def test_detections_are_compared_image_by_image(capsys):
    still, moved = _finds([[0.0, 0, 4, 4]], [1]), _finds([[0.0, 0, 4, 4.5]], [1])
    compare_detections(still, moved, [None, None])
    line = "1 and 1 detections, the same classes, corners at most 5e-01 pixels apart"
    assert capsys.readouterr().out.splitlines() == [line, line]


@pytest.mark.parametrize("other", [_finds([[0.0, 0, 4, 4]], [2]), _finds([[0.0, 0, 4, 4]] * 2, [1, 1])])
def test_other_classes_or_counts_are_infinitely_far_apart(other, capsys):
    compare_detections(_finds([[0.0, 0, 4, 4]], [1]), other, [None])
    assert "OTHER CLASSES, corners at most inf pixels apart" in capsys.readouterr().out


@pytest.mark.slow
def test_our_copy_of_torchvisions_fcos_has_the_same_losses(capsys):
    theirs = random_torchvision_fcos(3)
    image, target = torch.zeros(3, 120, 160, dtype=torch.uint8), {"boxes": torch.tensor([[20.0, 30, 90, 100]])}
    target["labels"] = torch.tensor([2])
    compare_losses(from_torchvision(theirs), theirs, [(image, target)])
    lines = capsys.readouterr().out.splitlines()
    apart = {line.split()[0]: float(line.split()[-2]) for line in lines}
    assert list(apart) == ["classification", "bbox_regression", "bbox_ctrness"]
    assert 0 < apart.pop("classification") < 1e-4  # torchvision has a logit for the background
    assert max(apart.values()) < 1e-9
