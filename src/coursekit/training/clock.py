"""Where the time of a step goes: waiting for data, copying, forward, backward, optimizer."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch

PHASES = ("data", "copy", "forward", "backward", "optimizer")
STEP = "step"  # in place of the last three, where a step of the reader's own doesn't say when each of them ends
ALL_PHASES = (*PHASES, STEP)
NOTEWORTHY_WAITING = 0.1  # share of the time spent waiting for data from which on the verdict says what to do
MUCH_LARGER = 1.5  # long side of the stored images over that of the resized images
Item = TypeVar("Item")


class Moment(Protocol):
    """A moment on the device's own time line, such as a CUDA event."""

    def elapsed_time(self, later: Any) -> float:
        """Return the milliseconds from this moment to a later one. Both must be over."""


Interval = tuple[str, Moment, Moment]  # phase, start, end


class Clock:
    """Measure the seconds of each phase, on the device's own time line.

    A GPU works asynchronously: Python has launched the operations of a phase long before they are computed. Waiting for
    the GPU after each phase would give the right times and make it idle. So a phase is marked by two CUDA events, which
    the GPU stamps on its way, and which are read once the step is done. Where the next batch is late, the GPU has
    nothing to do between the two events around it, so "data" is the time that the GPU waited.

    Args:
        device: the device.
        now: returns the present moment on it.

    Attributes:
        seconds: seconds by phase, over the whole run.
        last: seconds by phase, of the last step that was read.
        waited: seconds that Python waited for the last batch.
    """

    def __init__(self, device: torch.device, now: Callable[[], Moment] | None = None) -> None:
        self.now = now or (_cuda_event if device.type == "cuda" else CpuMoment)
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.last = dict.fromkeys(PHASES, 0.0)
        self.waited = 0.0
        self._intervals: list[Interval] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time that the block takes on the device as part of a phase of this step."""
        start = self.now()
        try:
            yield
        finally:
            self._intervals.append((name, start, self.now()))

    def waiting_for(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and count the time until each arrives as waiting for data. Each item begins a step."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            with self.phase("data"):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            self.waited = time.perf_counter() - start
            yield item

    def end_step(self) -> list[Interval]:
        """Return the intervals of this step, to be read when the device is done with it."""
        intervals, self._intervals = self._intervals, []
        return intervals

    def read(self, intervals: Iterable[Interval]) -> dict[str, float]:
        """Add the intervals of a finished step to the times, and return its seconds by phase."""
        self.last = dict.fromkeys(PHASES, 0.0)
        for name, start, end in intervals:
            seconds = start.elapsed_time(end) / 1000
            for times in (self.last, self.seconds):
                times[name] = times.get(name, 0.0) + seconds
        return self.last

    def shares(self) -> dict[str, float]:
        """Return each phase's share of the time, 0 to 1."""
        total = sum(self.seconds.values()) or 1.0
        return {name: seconds / total for name, seconds in self.seconds.items()}

    def verdict(self, workers: int, shrink: float) -> str:
        """Return a sentence that says where the time went and what to do about it.

        Args:
            workers: number of processes that load data ahead of time.
            shrink: long side of the stored images, divided by that of the resized images.
        """
        shares = self.shares()
        split = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
        if shares["data"] < NOTEWORTHY_WAITING:
            return f"{shares['data']:.0%} waiting for data: a faster loader gains little ({split})."
        cures = ["build the subset at the size that you train on"] if shrink > MUCH_LARGER else []
        cures += [f"use {max(2, 2 * workers)} workers"] if workers < 8 else []
        cures += ["keep decoded images (--pixels)"]
        return f"{shares['data']:.0%} waiting for data: {' or '.join(cures)} ({split})."


class CpuMoment:
    """The present moment on a CPU, with the interface of a CUDA event."""

    def __init__(self) -> None:
        self.seconds = time.perf_counter()

    def elapsed_time(self, later: "CpuMoment") -> float:
        """Return the milliseconds from this moment to a later one."""
        return (later.seconds - self.seconds) * 1000


def _cuda_event() -> Any:
    """Return an event that the GPU stamps with the time when it gets there."""
    event: Any = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
