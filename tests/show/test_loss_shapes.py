import math

import pytest
import torch

from coursekit.show.loss_shapes import loss_shapes, two_losses


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    monkeypatch.setitem(loss_shapes.__globals__, "figure", lambda fig, alt: pictures.append((fig, alt)))
    return pictures


def test_cross_entropy_meets_at_log_2_and_smooth_l1_is_0_without_error(shown):
    loss_shapes()
    left, right = shown[0][0].axes
    yes, no, dot = left.get_lines()
    assert yes.get_ydata()[60] == pytest.approx(math.log(2))
    assert no.get_ydata()[60] == pytest.approx(math.log(2))
    assert list(dot.get_ydata()) == [math.log(2)]
    assert [line.get_ydata()[100] for line in right.get_lines()] == pytest.approx([0, 0], abs=1e-6)


def test_two_losses_say_where_they_began_peaked_and_ended(shown, capsys):
    history = torch.tensor([[0.7, 0.01]] * 8 + [[0.1, 0.03]] * 8 + [[0.05, 0.02]] * 8)
    two_losses(history)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "objectness loss: 0.700 at the first step, at most 0.700, 0.050 at the end"
    assert second == "box loss: 0.010 at the first step, at most 0.030, 0.020 at the end"
    assert first in shown[0][1]


def test_the_highest_loss_is_inside_and_steps_are_whole(shown):
    two_losses(torch.tensor([[0.7, 0.01], [0.5, 0.03], [0.6, 0.02], [0.4, 0.01]]))
    for axes, highest in zip(shown[0][0].axes, (0.7, 0.03), strict=True):
        assert axes.get_ylim() == (0, pytest.approx(1.1 * highest))
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_a_run_of_one_step(shown, capsys):
    two_losses(torch.tensor([[0.7, 0.01]]))
    assert len(shown[0][0].axes[0].get_lines()[0].get_xdata()) == 1
