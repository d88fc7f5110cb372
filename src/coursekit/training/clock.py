"""Where the time of a step goes: waiting for data, copying, forward, backward, optimizer."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

PHASES = ("data", "copy", "forward", "backward", "optimizer")
NOTEWORTHY_WAITING = 0.1  # share of the time spent waiting for data from which on the verdict says what to do
MUCH_LARGER = 1.5  # long side of the stored images over that of the resized images
Item = TypeVar("Item")


class Clock:
    """Measure the seconds of each phase.

    A GPU works asynchronously, so each phase ends by waiting for the GPU. Otherwise all of its time would show up at
    the first line that needs a result.

    Attributes:
        seconds: seconds by phase, over the whole run.
        last: seconds by phase, of the last step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.last = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            elapsed = time.perf_counter() - start
            self.seconds[name] += elapsed
            self.last[name] += elapsed

    def waiting_for(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and count the time until each arrives as waiting for data. Each item begins a step."""
        iterator = iter(items)
        while True:
            self.last = dict.fromkeys(PHASES, 0.0)
            with self.phase("data"):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

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
        split = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        if shares["data"] < NOTEWORTHY_WAITING:
            return f"{shares['data']:.0%} waiting for data: the machine computes all the time ({split})."
        cures = ["build the subset at the size that you train on"] if shrink > MUCH_LARGER else []
        cures += [f"use {max(2, 2 * workers)} workers"] if workers < 8 else []
        cures += ["keep decoded images (--pixels)"]
        return f"{shares['data']:.0%} waiting for data: {' or '.join(cures)} ({split})."
