import itertools

import pytest

from coursekit.lessons.experiments import machine_speed


def test_operations_are_counted_and_divided_by_the_time(capsys, monkeypatch):
    moments = itertools.count(0, 0.5)
    monkeypatch.setattr(machine_speed.time, "perf_counter", lambda: next(moments))
    rate = machine_speed.operations_per_second(side=64, times=5)  # five products in half a second
    assert rate == pytest.approx(2 * 64**3 * 10)
    assert "a product takes 100.00 ms" in capsys.readouterr().out
