from itertools import combinations

import torch
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from coursekit.show import draw_boxes
from coursekit.show.labels import spread

IMAGE = torch.zeros(3, 240, 320, dtype=torch.uint8)


def _drawn(boxes):
    fig = Figure(figsize=(6, 4.5), layout="constrained")
    draw_boxes(fig.subplots(), IMAGE, torch.tensor(boxes), [f"teddy bear 0.{9 - n}" for n in range(len(boxes))])
    return fig


def _covered(fig):
    fig.draw_without_rendering()
    extents = [text.get_bbox_patch().get_window_extent() for text in fig.axes[0].texts]
    shared = [Bbox.intersection(extent, other) for extent, other in combinations(extents, 2)]
    return sum(each is not None and each.width > 1 and each.height > 1 for each in shared)


def test_labels_of_overlapping_boxes_are_moved_apart():
    boxes = [[40.0, 80, 160, 200], [42.0, 82, 170, 210], [41.0, 79, 150, 190], [200.0, 3, 260, 60], [202.0, 4, 270, 62]]
    fig = _drawn(boxes)
    assert _covered(fig) > 0
    spread(fig)
    assert _covered(fig) == 0


def test_the_label_of_the_best_box_stays():
    fig = _drawn([[40.0, 80, 160, 200], [42.0, 82, 170, 210]])
    before = fig.axes[0].texts[-1].get_position()
    spread(fig)
    assert fig.axes[0].texts[-1].get_text() == "teddy bear 0.9"
    assert abs(fig.axes[0].texts[-1].get_position()[1] - before[1]) < 1e-6


def test_a_crowd_of_labels_is_drawn_anyway():
    fig = _drawn([[40.0, 80, 160, 200]] * 30)
    spread(fig)
    assert len(fig.axes[0].texts) == 30
