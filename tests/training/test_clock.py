import time

import pytest
import torch

from coursekit.training.clock import STEP, Clock


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
        assert 0.02 < clock.waited < 1
        assert clock.read(clock.end_step()) == clock.last
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
    assert clock.verdict(0, 1.0).startswith("1% waiting for data: a faster loader gains little")


def test_a_step_of_ones_own_is_a_single_phase(clock):
    with clock.phase(STEP):
        time.sleep(0.001)
    assert clock.read(clock.end_step())[STEP] > 0
    assert "forward" not in clock.verdict(0, 1.0)
    assert "step 100%" in clock.verdict(0, 1.0)


def test_time_counts_even_if_the_block_fails(clock):
    with pytest.raises(KeyError), clock.phase("copy"):
        raise KeyError
    clock.read(clock.end_step())
    assert clock.seconds["copy"] > 0


class Gpu:
    """A GPU that computes what it is given, in order: its events get their times when it arrives there."""

    def __init__(self):
        self.done, self.synchronized = 0.0, 0  # milliseconds of its own time line

    def compute(self, milliseconds):
        self.done += milliseconds

    def wait_until(self, milliseconds):
        self.done = max(self.done, milliseconds)

    def event(self):
        return Event(self, self.done)


class Event:
    def __init__(self, gpu, time):
        self.gpu, self.time = gpu, time

    def elapsed_time(self, later):
        self.gpu.synchronized += 1
        return later.time - self.time


def test_a_gpu_is_timed_by_its_events_which_are_read_when_the_step_is_over():
    gpu = Gpu()
    clock = Clock(torch.device("cpu"), gpu.event)

    def batches():
        gpu.wait_until(30)  # the first batch is late
        yield 0
        yield 1  # the second is there before the GPU needs it

    steps = []
    for _ in clock.waiting_for(batches()):
        for phase, milliseconds in (("forward", 10), ("backward", 20), ("forward", 1)):
            with clock.phase(phase):
                gpu.compute(milliseconds)
        steps.append(clock.end_step())
    assert gpu.synchronized == 0
    assert sum(clock.seconds.values()) == 0
    phases = [clock.read(step) for step in steps]
    assert phases[0] == pytest.approx({"data": 0.03, "copy": 0, "forward": 0.011, "backward": 0.02, "optimizer": 0})
    assert phases[1] == pytest.approx(phases[0] | {"data": 0.0})
    assert clock.seconds["backward"] == pytest.approx(0.04)
    assert clock.last == phases[1]
