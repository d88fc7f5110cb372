import pytest
import torch

from coursekit.show.anchor_shares import overlap_by_size, positive_shares


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
