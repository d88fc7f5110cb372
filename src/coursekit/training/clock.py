"""Where the time of a step goes: waiting for data, copying, forward, backward, optimizer."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

PHASES = ("data", "copy", "forward", "backward", "optimizer")
MUCH_WAITING = 0.1  # a share of the time that is worth a word
Item = TypeVar("Item")


class Clock:
    """Seconds of each phase so far.

    A GPU works behind the program's back, so each phase ends by waiting for it: else all its time would be found where
    the program happens to wait first.

    Attributes:
        seconds: of each phase, over the whole run; `last` of the last step alone.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.last = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            passed = time.perf_counter() - start
            self.seconds[name] += passed
            self.last[name] += passed

    def waiting_for(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the time until each comes is waiting for data. A step begins here."""
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
        """Of each phase, 0 to 1."""
        total = sum(self.seconds.values()) or 1.0
        return {name: seconds / total for name, seconds in self.seconds.items()}

    def verdict(self, workers: int, shrink: float) -> str:
        """What to do about it, in a sentence.

        Args:
            workers: that read ahead now.
            shrink: long side of the images read by that of the images trained on.
        """
        shares = self.shares()
        split = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        if shares["data"] < MUCH_WAITING:
            return f"{shares['data']:.0%} waiting for data: the machine computes all the time ({split})."
        cures = ["build the subset at the size that you train on"] if shrink > 1.5 else []
        cures += [f"use {max(2, 2 * workers)} workers"] if workers < 8 else []
        cures += ["keep decoded images (--pixels)"]
        return f"{shares['data']:.0%} waiting for data: {' or '.join(cures)} ({split})."
