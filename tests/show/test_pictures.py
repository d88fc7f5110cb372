import base64
import io

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from coursekit.show import course_map, draw_boxes, loss_curves, save, truth_beside_prediction
from coursekit.show.pictures import as_html


def _pair(count):
    boxes = torch.tensor([[2.0, 3, 20, 30]] * count).reshape(-1, 4)
    labels = torch.ones(count, dtype=torch.int64)
    target = {"boxes": boxes, "labels": labels, "crowd_boxes": torch.tensor([[5.0, 5, 30, 30]])}
    return torch.full((3, 40, 60), 128, dtype=torch.uint8), target, target | {"scores": torch.full((count,), 0.7)}


def test_a_grid_of_truth_beside_prediction(tmp_path):
    for count in (1, 2, 5):
        save(truth_beside_prediction([_pair(2), *[_pair(0)] * (count - 1)], ["dog"]), tmp_path / "p.png")
        pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
        assert pixels.std() > 10


def test_only_predictions_above_the_threshold_are_drawn():
    texts = [len(truth_beside_prediction([_pair(1)], ["dog"], threshold=t).axes[1].texts) for t in (0.5, 0.8)]
    assert texts == [1, 0]


def test_boxes_lie_where_they_should():
    axes = Figure().subplots()
    draw_boxes(axes, torch.zeros(3, 40, 60, dtype=torch.uint8), torch.tensor([[2.0, 3, 20, 30]]), ["dog"])
    box = axes.patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (2, 3, 18, 27)


def test_curves_have_labelled_axes():
    fig = loss_curves([1, 2, 3], {"a": [3.0, 2, 1], "b": [1.0, 1, 1]}, [0.1, 0.2, 0.1])
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in fig.axes)


def test_the_map_shows_all_parts():
    texts = " ".join(text.get_text() for text in course_map().axes[0].texts)
    assert all(f"{lesson:02d} ·" in texts for lesson in range(1, 10))


def test_html_carries_the_alt_text_and_the_picture():
    text = as_html(course_map(), 'the "map" <of> it')
    assert 'alt="the &quot;map&quot; &lt;of&gt; it"' in text
    data = base64.b64decode(text.split("base64,")[1].split('"')[0])
    assert Image.open(io.BytesIO(data)).size[0] > 500
