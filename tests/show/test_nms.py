import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from coursekit.detector import nms
from coursekit.lessons.case_inputs import xyxy
from coursekit.show.nms import nms_picture

IMAGE = torch.zeros(3, 100, 200, dtype=torch.uint8)


def _texts(boxes, scores, iou_threshold, nms=nms):
    fig, alt = nms_picture(IMAGE, boxes, torch.tensor(scores), 0.0, iou_threshold, nms=nms)
    assert len(fig.axes[0].patches) == len(boxes)
    return [text.get_text() for text in fig.axes[0].texts], alt


def test_each_dropped_box_says_which_one_dropped_it():
    boxes = xyxy((100, 50, 120, 70), (20, 20, 40, 40), (20, 20, 40, 38), (21, 20, 41, 40), (101, 50, 121, 70))
    texts, alt = _texts(boxes, [0.8, 0.9, 0.7, 0.6, 0.5], 0.5)
    assert texts == ["A 0.90", "B 0.80", "A: IoU 0.90", "A: IoU 0.90", "B: IoU 0.90"]
    assert "2 kept, 3 dropped" in alt
    assert alt.endswith("A drops 2; B drops 1.")


def test_the_first_box_that_overlaps_it_dropped_it_not_the_closest():
    boxes = xyxy((0, 20, 20, 40), (12, 20, 32, 40), (7, 20, 27, 40))
    texts, _ = _texts(boxes, [0.9, 0.8, 0.7], 0.4)
    assert texts[2] == "A: IoU 0.48"  # with the second, it is 0.60


def test_a_function_that_drops_without_a_reason_and_one_that_keeps_nothing():
    boxes = xyxy((0, 20, 20, 40), (100, 20, 120, 40))
    assert _texts(boxes, [0.9, 0.8], 0.4, lambda *_: torch.tensor([0]))[0] == ["A 0.90", "A: IoU 0.00"]
    assert _texts(boxes, [0.9, 0.8], 0.4, lambda *_: torch.tensor([], dtype=torch.int64))[0] == []


def test_after_z_comes_aa():
    boxes = torch.arange(28)[:, None] * torch.tensor([7.0, 0, 7, 0]) + torch.tensor([0.0, 20, 5, 30])
    texts, _ = _texts(boxes, [0.9] * 28, 0.5)
    assert texts[25:] == ["Z 0.90", "AA 0.90", "AB 0.90"]


def test_no_text_is_outside_the_picture():
    boxes = xyxy((20, 1, 40, 40), (195, 50, 200, 60), (0, 80, 10, 100), (0, 81, 10, 101))
    fig, _ = nms_picture(IMAGE, boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), 0.0, 0.5)
    FigureCanvasAgg(fig).draw()
    axes = fig.axes[0]
    frame = axes.get_window_extent().padded(2)
    assert len(axes.texts) == 4
    for text in axes.texts:
        extent = text.get_window_extent()
        assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1
        assert frame.y0 <= extent.y0 < extent.y1 <= frame.y1
