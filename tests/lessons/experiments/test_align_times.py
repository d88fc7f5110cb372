import time

import torch

from coursekit.detector import roi_align
from coursekit.lessons.experiments import align_times
from coursekit.lessons.experiments.align_times import random_boxes, time_alignments


def test_boxes_are_inside_the_image_and_the_same_each_time():
    boxes = random_boxes(500, 100, 200)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert torch.equal(boxes, random_boxes(500, 100, 200))
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= torch.tensor([200, 100])).all()
    assert 4 <= sides.min() < 5
    assert 59 < sides.max() <= 60


def test_the_ratio_is_that_of_the_times(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setattr(align_times, "BOXES", 4)
    with_gradient = []

    def slow(features, boxes, spatial_scale):
        with_gradient.append(features.requires_grad and torch.is_grad_enabled())
        time.sleep(0.01)
        return roi_align(features, boxes, spatial_scale)

    times = time_alignments({"quick": roi_align, "slow": slow}, [(8, 10), (8, 12)])
    assert list(times) == ["forward", "forward and backward"]
    assert all(len(values) == 2 for ways in times.values() for values in ways.values())
    assert min(times["forward"]["slow"]) >= 10
    assert with_gradient == [False] * 6 + [True] * 6
    _, header, forward, both = capsys.readouterr().out.splitlines()
    assert header.split() == ["map", "8", "×", "10", "8", "×", "12"]
    assert float(forward.split()[1]) > 1
    assert both.startswith("  forward and backward")
