import time

import pytest
import torch

from coursekit.training.clock import Clock


@pytest.fixture
def clock():
    return Clock(torch.device("cpu"))


def _slow(items, seconds):
    for item in items:
        time.sleep(seconds)
        yield item


def test_waiting_and_computing_are_measured_apart(clock):
    for _ in clock.waiting_for(_slow(range(3), 0.03)):
        with clock.phase("forward"):
            time.sleep(0.01)
    assert clock.seconds["data"] > 2 * clock.seconds["forward"] > 0.04
    assert clock.last["data"] < clock.seconds["data"]
    assert sum(clock.shares().values()) == pytest.approx(1)


def test_the_verdict_says_what_to_do_if_the_machine_waits(clock):
    clock.seconds |= {"data": 43.0, "forward": 30.0, "backward": 27.0}
    large = clock.verdict(workers=0, shrink=2.0)
    assert large.startswith("43% waiting for data: build the subset at the size that you train on or use 2 workers")
    assert "subset" not in clock.verdict(workers=2, shrink=1.0)
    assert "use 4 workers" in clock.verdict(workers=2, shrink=1.0)


def test_the_verdict_has_no_advice_if_nothing_waits(clock):
    clock.seconds |= {"data": 1.0, "forward": 60.0, "backward": 39.0}
    assert clock.verdict(0, 1.0).startswith("1% waiting for data: the machine computes all the time")


def test_time_counts_even_if_the_block_fails(clock):
    with pytest.raises(KeyError), clock.phase("copy"):
        raise KeyError
    assert clock.seconds["copy"] > 0
