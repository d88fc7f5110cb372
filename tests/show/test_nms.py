import torch

from coursekit.lessons.inputs import xyxy
from coursekit.show.nms import nms_picture

IMAGE = torch.zeros(3, 100, 200, dtype=torch.uint8)


def test_a_text_that_would_cover_another_is_left_out():
    boxes = xyxy((20, 20, 40, 40), (21, 20, 60, 80), (100, 50, 120, 70))
    fig, _ = nms_picture(IMAGE, boxes, torch.tensor([0.9, 0.8, 0.7]), 0.0, 0.5)
    axes = fig.axes[0]
    assert len(axes.patches) == 3
    assert [text.get_text() for text in axes.texts] == ["0.90", "0.70"]


def test_no_text_is_outside_the_picture():
    fig, _ = nms_picture(IMAGE, xyxy((20, 1, 40, 40), (195, 50, 200, 60)), torch.tensor([0.9, 0.8]), 0.0, 0.5)
    assert not fig.axes[0].texts
