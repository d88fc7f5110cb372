from coursekit.show.times import times


def test_a_line_for_each_function(monkeypatch):
    shown = []
    monkeypatch.setitem(times.__globals__, "figure", lambda fig, alt: shown.append((fig, alt)))
    times([10, 2000], {"in Python": [1.0, 30.0], "in C++": [0.1, 2.0]})
    [(fig, alt)] = shown
    assert [list(line.get_ydata()) for line in fig.axes[0].get_lines()] == [[1.0, 30.0], [0.1, 2.0]]
    assert alt == "Time over the number of boxes, from 10 to 2,000. in Python: 1.0 to 30.0 ms; in C++: 0.1 to 2.0 ms."
