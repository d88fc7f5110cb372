import pytest
import torch

from coursekit.show.anchor_matches import anchor_picture, overlap_by_size, positive_shares

IMAGE = torch.zeros(3, 100, 400, dtype=torch.uint8)
OBJECTS = torch.tensor([[10.0, 10, 30, 30], [110, 10, 130, 30], [210, 10, 230, 30], [310, 10, 330, 30]])
ANCHORS = torch.cat([OBJECTS.repeat_interleave(50, 0), OBJECTS + 50])  # 50 on each object, one after the other


def _matches(anchors, boxes, fg_iou_thresh, bg_iou_thresh):
    """Ignore all anchors but the last four, which are background, and more as the threshold falls."""
    matches = torch.full((len(anchors),), -2)
    matches[round(len(anchors) * (0.98 - bg_iou_thresh / 2)) :] = -1
    return matches


def _dotted(fig):
    return [patch.get_x() for patch in fig.axes[0].patches if patch.get_linestyle() == "dotted"]


def test_the_ignored_anchors_that_are_drawn_are_from_everywhere():
    fig, alt = anchor_picture(IMAGE, OBJECTS, ANCHORS, 0.7, 0.0, match_anchors=_matches, most=60)
    drawn = _dotted(fig)
    assert len(drawn) == 60
    assert all(drawn.count(x) >= 5 for x in OBJECTS[:, 0].tolist())
    assert "200 are ignored (60 of them drawn)" in fig.axes[0].get_title()
    assert "200 are ignored (60 of them drawn), 4 are background" in alt


def test_all_are_drawn_if_they_are_few():
    fig, alt = anchor_picture(IMAGE, OBJECTS, ANCHORS, 0.7, 0.0, match_anchors=_matches, most=200)
    assert len(_dotted(fig)) == 200
    assert "drawn" not in alt


def test_the_same_ones_stay_drawn_as_a_slider_moves():
    wide = torch.arange(200.0)[:, None] * torch.tensor([1.0, 0, 1, 0]) + torch.tensor([0.0, 0, 9, 9])
    fewer, more = (
        set(_dotted(anchor_picture(IMAGE, OBJECTS, wide, 0.7, low, match_anchors=_matches, most=60)[0]))
        for low in (0.1, 0.0)
    )
    assert len(fewer & more) >= 50


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    monkeypatch.setitem(overlap_by_size.__globals__, "figure", lambda fig, alt: pictures.append((fig, alt)))
    return pictures


def test_a_dot_for_each_object(shown):
    overlap_by_size(torch.tensor([10.0, 20, 40, 80]), torch.tensor([0.2, 0.7, 0.9, 0.6]))
    [(fig, alt)] = shown
    assert len(fig.axes[0].get_lines()[0].get_xdata()) == 4
    assert alt == "The best IoU of each of 4 objects over its size; 50% reach 0.7."


def test_a_bar_for_each_share(shown):
    positive_shares({"all": 0.0006, "balanced": 0.03})
    [(fig, alt)] = shown
    assert [bar.get_width() for bar in fig.axes[0].patches] == [0.0006, 0.03]
    assert alt == "Share of positives. all: 0.06%, balanced: 3.00%."
