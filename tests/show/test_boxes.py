import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from coursekit.show import draw_boxes, draw_ground_truth_and_predictions, save


def _pair(count):
    boxes = torch.tensor([[2.0, 3, 20, 30]] * count).reshape(-1, 4)
    labels = torch.ones(count, dtype=torch.int64)
    target = {"boxes": boxes, "labels": labels, "crowd_boxes": torch.tensor([[5.0, 5, 30, 30]])}
    return torch.full((3, 40, 60), 128, dtype=torch.uint8), target, target | {"scores": torch.full((count,), 0.7)}


def test_a_grid_of_ground_truth_and_predictions(tmp_path):
    for count in (1, 2, 5):
        save(draw_ground_truth_and_predictions([_pair(2), *[_pair(0)] * (count - 1)], ["dog"]), tmp_path / "p.png")
        pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
        assert pixels.std() > 10


def test_only_predictions_above_the_threshold_are_drawn():
    texts = [len(draw_ground_truth_and_predictions([_pair(1)], ["dog"], threshold=t).axes[1].texts) for t in (0.5, 0.8)]
    assert texts == [1, 0]


def test_boxes_are_where_they_should_be():
    axes = Figure().subplots()
    draw_boxes(axes, torch.zeros(3, 40, 60, dtype=torch.uint8), torch.tensor([[2.0, 3, 20, 30]]), ["dog"])
    box = axes.patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (2, 3, 18, 27)
