import pytest

from coursekit.show.times import times


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
