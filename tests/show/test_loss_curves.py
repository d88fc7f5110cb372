from types import SimpleNamespace

import IPython.core.getipython
import IPython.display

from coursekit.data import load
from coursekit.show.loss_curves import (
    LivePlot,
    at_the_end,
    loss_curves,
    loss_runs_picture,
    run_losses,
    run_losses_picture,
)
from coursekit.training import TrainConfig, train
from tests.show.pictures import is_drawn


class Display:
    def __init__(self):
        self.pictures = []

    def update(self, data, raw):
        self.pictures.append(data)


def test_outside_a_notebook_it_does_nothing(coco_folder, tiny_detector):
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=1, batch_size=3), hooks=[LivePlot()])


def test_in_a_notebook_one_picture_is_redrawn_in_place(coco_folder, tiny_detector, monkeypatch):
    handle, shown = Display(), []
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda *_, **options: shown.append(options) or handle)
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=3, batch_size=3), hooks=[LivePlot(seconds=0)])
    assert [options["display_id"] for options in shown] == [True]
    assert len(handle.pictures) == 4  # three steps and the end
    assert '<img alt="Curves of 4 losses over 3 steps' in handle.pictures[-1]["text/html"]


def test_curves_have_labeled_axes():
    fig = loss_curves([1, 2, 3], {"a": [3.0, 2, 1], "b": [1.0, 1, 1]}, [0.1, 0.2, 0.1])
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in fig.axes)


def test_the_losses_of_a_run_and_where_they_began_and_ended(capsys):
    history = [SimpleNamespace(step=n, losses={"loss_a": 3.0 - n, "loss_b": 1.0}, lr=0.1) for n in (1, 2)]
    fig, alt = run_losses_picture(history)
    assert list(fig.axes[0].lines[0].get_xdata()) == [1, 2]
    assert alt == "Curves of 2 losses over 2 steps; their sum is 2.00 at the end."
    run_losses(history[:1])
    assert "loss_a           2.00 at the first step, 2.00 at the last" in capsys.readouterr().out


def test_the_alt_text_says_how_high_each_run_gets_and_how_it_ends(tmp_path):
    fig, alt = loss_runs_picture({"0.001": [3.0, 5.5, 1.25], "$0.1": [3.0, 120.0]})
    assert "the highest, and the mean of the last quarter" in alt
    assert "0.001: at most 5.5, 1.25; $0.1: at most 120, 120." in alt
    assert fig.axes[0].get_yscale() == "log"
    assert is_drawn(fig, tmp_path / "runs.png")


def test_the_end_is_the_last_quarter_and_in_a_short_run_the_last_step():
    assert at_the_end([9.0] * 6 + [1.0, 2.0]) == 1.5
    assert at_the_end([9.0, 9.0, 1.0]) == 1.0


def test_each_run_has_a_style_of_its_own():
    fig, _ = loss_runs_picture({str(number): [1.0, 2.0] for number in range(5)})
    assert len({(line.get_color(), line.get_linestyle()) for line in fig.axes[0].lines}) == 5
