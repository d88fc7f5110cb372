import builtins
import sys

import IPython.core.getipython
import IPython.display
import numpy as np
import pytest
import torch

from coursekit.show import (
    anchor_picture,
    curve_picture,
    explore,
    explore_anchors,
    explore_axis_weights,
    explore_curve,
    explore_nms,
    nms_picture,
)
from coursekit.show.pyramid import explore_levels

IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
BOXES = torch.tensor([[0.0, 0, 20, 20], [2, 0, 22, 20], [40, 30, 60, 50]])
SCORES = torch.tensor([0.9, 0.8, 0.4])


def test_a_slider_changes_the_picture():
    widget = explore_nms(IMAGE, BOXES, SCORES)
    score_thresh, iou_threshold, picture = widget.children
    assert "3 boxes with a score of 0.3 or more: 2 kept, 1 dropped" in picture.value
    before = picture.value
    score_thresh.value = 0.5
    assert "2 boxes with a score of 0.5 or more: 1 kept, 1 dropped" in picture.value
    assert picture.value != before
    iou_threshold.value = 0.95
    assert "2 kept, 0 dropped at an IoU above 0.95" in picture.value


def test_your_own_function_is_explored():
    widget = explore_nms(IMAGE, BOXES, SCORES, nms=lambda boxes, scores, threshold: torch.tensor([0]))
    assert "1 kept" in widget.children[-1].value


def test_anchors_and_their_matches():
    anchors = torch.tensor([[0.0, 0, 20, 20], [1, 0, 21, 20], [8, 0, 28, 20], [70, 50, 80, 60]])
    widget = explore_anchors(IMAGE, BOXES[:1], anchors)
    assert "1 objects: 2 anchors match, 1 are ignored, 1 are background" in widget.children[-1].value
    widget.children[0].value = 0.95
    assert "1 anchors match, 2 are ignored" in widget.children[-1].value


def test_an_object_without_an_anchor_is_counted():
    _, alt = anchor_picture(IMAGE, BOXES, BOXES[:1] + 1, 0.7, 0.3)
    assert "2 objects have no anchor" in alt


def test_a_score_threshold_above_all_scores_has_a_picture_too():
    assert "0 boxes" in nms_picture(IMAGE, BOXES, SCORES, 1.0, 0.5)[1]


def test_precision_and_recall_follow_the_threshold():
    scores, is_tp = np.array([0.4, 0.9, 0.6]), np.array([True, True, False])
    widget = explore_curve(scores, is_tp, 4, title="dog")
    slider, picture = widget.children
    assert "1 true and 0 false positives, 3 of 4 missed; precision 1.00, recall 0.25" in picture.value  # half are kept
    slider.value = 0.5
    assert "1 true and 1 false positives, 3 of 4 missed; precision 0.50, recall 0.25" in picture.value
    slider.value = 0.0
    assert "2 true and 1 false positives, 2 of 4 missed; precision 0.67, recall 0.50" in picture.value


def test_a_class_without_detections_has_a_picture():
    assert "0 true and 0 false positives, 3 of 3 missed" in curve_picture(np.empty(0), np.empty(0, bool), 3, 0.5)[1]


def test_whole_numbers_make_a_slider_of_whole_numbers():
    seen = []

    def draw(step):
        seen.append(step)
        return nms_picture(IMAGE, BOXES, SCORES, 0.1, 0.5)

    explore(draw, step=(0, 4, 1, 2)).children[0].value = 3
    assert seen == [2, 3]
    assert all(isinstance(value, int) for value in seen)


def test_without_widgets_the_picture_is_shown(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipywidgets", raising=False)
    real = builtins.__import__

    def refuse(name, *args):
        if name == "ipywidgets":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert explore_nms(IMAGE, BOXES, SCORES) is None


@pytest.mark.parametrize("kind", ["kept solid, dropped dashed"])
def test_no_meaning_by_color_alone(kind):
    fig, _ = nms_picture(IMAGE, BOXES, SCORES, 0.1, 0.5)
    assert kind in fig.axes[0].get_title()
    assert {patch.get_linestyle() for patch in fig.axes[0].patches} == {"solid", "dashed"}


def test_a_list_of_values_makes_a_slider_over_them():
    seen = []

    def draw(steps):
        seen.append(steps)
        return nms_picture(IMAGE, BOXES, SCORES, 0.1, 0.5)

    slider, _ = explore(draw, steps=[0, 10, 300]).children
    assert slider.value == 300
    slider.value = 10
    assert seen == [300, 10]


class Display:
    """Stands for the notebook: what it shows, and what its handle is told."""

    def __init__(self):
        self.shown, self.updates = [], []

    def __call__(self, content, **options):
        self.shown.append(content)
        return self if "display_id" in options else None

    def update(self, content, raw):
        self.updates.append(content)


@pytest.fixture
def notebook(monkeypatch):
    display = Display()
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", display)
    return display


EXPLORERS = {
    "nms": lambda: explore_nms(IMAGE, BOXES, SCORES),
    "anchors": lambda: explore_anchors(IMAGE, BOXES[:1], BOXES),
    "precision and recall": lambda: explore_curve(SCORES.numpy(), np.array([True, False, True]), 4),
    "levels": lambda: explore_levels(IMAGE, BOXES),
    "weights": lambda: explore_axis_weights(size=12),
}


@pytest.mark.parametrize("kind", EXPLORERS)
def test_a_page_that_is_only_read_has_the_picture_too(kind, notebook):
    assert EXPLORERS[kind]() is None
    widget, still = notebook.shown
    assert widget.children[-1].value == ""  # the picture is there once
    assert still["text/html"].startswith(f'<img alt="{still["text/plain"][:20]}')
    assert notebook.updates == []


def test_the_first_move_of_a_slider_replaces_the_still_picture(notebook):
    explore_nms(IMAGE, BOXES, SCORES)
    widget, still = notebook.shown
    widget.children[0].value = 0.5
    assert "2 boxes with a score of 0.5 or more" in widget.children[-1].value
    assert "3 boxes with a score of 0.3 or more" in still["text/html"]
    assert notebook.updates[-1]["text/html"] == ""
