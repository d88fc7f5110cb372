import pytest

from coursekit.show.times_and_speeds import (
    cost_bars_picture,
    image_times_picture,
    loading_rates_picture,
    step_times_picture,
    times,
)
from tests.show.pictures import all_texts, is_drawn


def test_phases_are_drawn_one_after_the_other(tmp_path):
    fig, alt = step_times_picture({"fast": {"data": 0.5, "compute": 1.0}, "slow": {"data": 3.0, "compute": 1.0}})
    ends = [bar.get_x() + bar.get_width() for bar in fig.axes[0].patches]
    assert ends == pytest.approx([0.5, 3.0, 1.5, 4.0])
    assert "slow: data 3.00, compute 1.00" in alt
    assert is_drawn(fig, tmp_path / "times.png")


@pytest.mark.parametrize("milliseconds", [[3.0, 9.0], [0.2, 300.0], [15.0, 180.0]])
def test_both_axes_have_labels_in_plain_numbers(monkeypatch, milliseconds):
    shown = []
    monkeypatch.setitem(times.__globals__, "figure", lambda fig, alt: shown.append(fig))
    times([80, 19200], {"yours": milliseconds})
    fig = shown[0]
    fig.canvas.draw()
    axes = fig.axes[0]
    low, high = axes.get_ylim()
    labels = [label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert len(labels) >= 2
    assert all(float(label.replace(",", "")) for label in labels)


def test_a_line_for_each_function(monkeypatch):
    shown = []
    monkeypatch.setitem(times.__globals__, "figure", lambda fig, alt: shown.append((fig, alt)))
    times([10, 2000], {"in Python": [1.0, 30.0], "in C++": [0.1, 2.0]})
    [(fig, alt)] = shown
    assert [list(line.get_ydata()) for line in fig.axes[0].get_lines()] == [[1.0, 30.0], [0.1, 2.0]]
    assert alt == "Time over the number of boxes, from 10 to 2,000. in Python: 1.0 to 30.0 ms; in C++: 0.1 to 2.0 ms."


def test_bars_and_the_line_of_what_training_needs(tmp_path):
    fig, alt = loading_rates_picture({"slow": 50, "fast": 2000}, 8)
    axes = fig.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [50, 2000]
    assert axes.lines[0].get_xdata()[0] == 8
    low, high = axes.get_xlim()
    assert low < 8
    assert high > 2000
    assert alt == "Samples per second. slow: 50; fast: 2,000. Training needs 8.0."
    assert is_drawn(fig, tmp_path / "rates.png")


def test_a_guess_is_hatched_and_the_hours_are_written_beside_the_bars(tmp_path):
    fig, alt = cost_bars_picture({"your guess": 10.0, "measured": 1234.5})
    guess, measured = fig.axes[0].patches
    assert (bool(guess.get_hatch()), bool(measured.get_hatch())) == (True, False)
    assert {"10.0", "1,234.5"} <= all_texts(fig.axes[0])
    assert "measured: 1,234.5" in alt
    assert is_drawn(fig, tmp_path / "cost.png")


def test_milliseconds_are_beside_the_bars_and_runtimes_differ_in_more_than_color(tmp_path):
    fig, alt = image_times_picture({"PyTorch, 1 thread": 61.4, "onnxruntime, 1 thread": 30.2, "PyTorch, 2 threads": 40})
    first, second, third = fig.axes[0].patches
    assert first.get_hatch() == third.get_hatch() != second.get_hatch()
    assert {"61 ms", "30 ms", "40 ms"} <= all_texts(fig.axes[0])
    assert alt.endswith("PyTorch, 1 thread: 61, onnxruntime, 1 thread: 30, PyTorch, 2 threads: 40")
    assert is_drawn(fig, tmp_path / "times.png")
