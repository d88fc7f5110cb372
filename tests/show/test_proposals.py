from types import SimpleNamespace

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.lessons.case_inputs import xyxy
from coursekit.show import proposals as module
from coursekit.show.proposals import anchors_to_objects, best_proposals, recall_curves

IMAGE = torch.full((3, 40, 80), 128, dtype=torch.uint8)
BOXES = xyxy((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    monkeypatch.setattr(module, "figure", lambda fig, alt: pictures.append((fig, alt)))
    return pictures


def test_anchors_those_that_match_and_objects(shown):
    anchors = BOXES.repeat(50, 1)
    matches = torch.full((150,), -1)
    matches[:4] = 0
    anchors_to_objects(IMAGE, anchors, matches, BOXES[:1])
    [(fig, alt)] = shown
    assert [len(axes.patches) for axes in fig.axes] == [80, 4, 1]
    assert "80 of 150 anchors, the 4 that match an object, the 1 objects" in alt


def test_the_best_proposals_are_drawn_in_pixels_of_the_picture(shown):
    resized = SimpleNamespace(dataset=[(IMAGE, {})] * 3, sizes=[(20, 40)] * 3)  # half as large
    best_proposals(resized, (0, 2), {"before": [BOXES] * 3, "after": [BOXES[:1]] * 3}, most=2)
    [(fig, alt)] = shown
    assert [len(axes.patches) for axes in fig.axes] == [2, 2, 1, 1]
    assert fig.axes[2].patches[0].get_width() == 20
    assert "before, after" in alt


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        ((1, 3), "there is no scene 3: there are 3. Choose numbers from 0 to 2."),
        ((-1, 50), "there is no scene -1 or 50"),
        ((), "no scene is chosen: there are 3"),
    ],
)
def test_a_scene_that_is_not_there_is_named(shown, picks, message):
    resized = SimpleNamespace(dataset=[(IMAGE, {})] * 3, sizes=[(20, 40)] * 3)
    with pytest.raises(ConfigError, match=message):
        best_proposals(resized, picks, {"before": [BOXES] * 3})
    assert not shown


def test_a_curve_for_each_run_and_the_guesses(shown):
    recalls = {"before": torch.zeros(2, 3), "after": torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, torch.nan]])}
    recall_curves(recalls, (10, 100), guesses=(0.3, 0.6))
    [(fig, alt)] = shown
    small, medium, _ = fig.axes
    assert small.get_lines()[1].get_ydata() == pytest.approx([0.1, 0.4])
    assert list(small.get_lines()[2].get_ydata()) == [0.3, 0.6]
    assert len(medium.get_lines()) == 2
    assert "10, 100 proposals" in alt
