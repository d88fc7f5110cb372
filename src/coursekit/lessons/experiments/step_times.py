"""Where the time of a training step goes."""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from operator import attrgetter
from textwrap import fill
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import Dataset

from coursekit.core.device import as_on_gpu
from coursekit.lessons.experiments.training_model import on_device
from coursekit.training.launches import count_launches

COCO_IMAGES = 118_287  # in train2017
LITTLE_WAITING = 0.1  # share of a step below which a faster loader gains little
Clock = Callable[[], float]
Step = Callable[[Any, Any], Any]
Batch = tuple[Any, Any]
PhasesOf = Callable[[Step, Iterator[Batch], Clock], dict[str, float]]


def clock_of(device: torch.device) -> Clock:
    """Return a clock that reads the seconds once the device has finished all queued work."""

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


class SlowDisk(Dataset[Any]):
    """A data set whose images take longer to arrive, as from a network disk.

    Args:
        dataset: the data set.
        seconds: how much longer, for each image.
    """

    def __init__(self, dataset: Any, seconds: float = 0.05) -> None:
        self.dataset, self.seconds = dataset, seconds

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        time.sleep(self.seconds)
        return self.dataset[index]


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of a loader, over and over."""
    while True:
        yield from batches


def one_pass(model: nn.Module, batch: Batch, clock: Clock, steps: int = 1) -> float:
    """Time forward and backward, and print how long one pass over COCO would take at that speed.

    Args:
        model: (images, targets) → dict of losses.
        batch: images and targets for it.
        clock: see `clock_of`.
        steps: see `images_per_second`.

    Returns:
        Hours for one pass over the images of train2017.
    """

    def forward_and_backward(images: Any, targets: Any) -> None:
        sum(model(images, targets).values()).backward()

    speed = images_per_second(forward_and_backward, repeat(batch), clock, steps)
    hours = COCO_IMAGES / speed / 3600
    print(f"{speed:.2f} images/s: one pass over COCO takes {hours:,.1f} hours; a day is {24 / hours:.2f} passes.")
    return hours


def images_per_second(step: Step, batches: Iterator[Batch], clock: Clock, steps: int) -> float:
    """Return the speed of training, the wait for data included.

    Args:
        step: (images, targets) → losses; takes a training step.
        batches: endless batches.
        clock: see `clock_of`.
        steps: how many to time, after a first one that warms up; the fastest counts. With 0, the first one counts.
    """
    speeds = []
    for _ in range(1 + steps):
        start = clock()
        images, targets = next(batches)
        step(images, targets)
        speeds.append(len(images) / (clock() - start))
    return max(speeds[1:] or speeds)


def mean_times(
    time_step: PhasesOf,
    step: Step,
    loaders: Mapping[str, Iterable[Batch]],
    device: torch.device,
    guesses: Mapping[str, float],
    steps: int = 2,
) -> dict[str, dict[str, float]]:
    """Time steps on the batches of several loaders, and print what each step waits for.

    Args:
        time_step: takes a step and returns its seconds by phase, "data" first.
        step: (images, targets) → losses; takes a training step.
        loaders: batches, by name.
        device: where the step wants its batch.
        guesses: the share of a step that the reader expects to be waiting, by name.
        steps: how many to time for each loader, after one that doesn't count.

    Returns:
        The mean seconds of each phase, for each loader.
    """
    times: dict[str, dict[str, float]] = {}
    for name, loader in loaders.items():
        batches, clock = on_device(endless(loader), device), clock_of(device)
        time_step(step, batches, clock)
        times[name] = _mean([time_step(step, batches, clock) for _ in range(steps)])
        print(f"{name:16} {verdict(times[name])} You said {guesses.get(name, 0.0):.0%}.")
    return times


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {phase: sum(row[phase] for row in rows) / len(rows) for phase in rows[0]}


def verdict(phases: Mapping[str, float]) -> str:
    """Say what share of a step is spent waiting for data, and what follows."""
    share = phases["data"] / sum(phases.values())
    if share < LITTLE_WAITING:
        return f"{share:.0%} waiting for data: a faster loader gains little."
    return f"{share:.0%} waiting for data: store resized images, or use workers."


def count_for_gpu(
    name: str,
    step: Step,
    batch: Batch,
    own_parts: Collection[str],
    waits: int | None = None,
    launches: int | None = None,
) -> None:
    """Take a step, and print how many operations it launches and how often Python waits for a result.

    Without a GPU, what it would launch on one is counted.

    Args:
        name: what the step is called.
        step: (images, targets) → losses; takes a training step.
        batch: images and targets to take it on.
        own_parts: the reader's parts that detectors are made of here; if there are none, that is printed.
        waits, launches: the reader's guesses, if there are any.
    """
    with as_on_gpu(), count_launches(batch[0].device) as counted:
        step(*batch)
    print(f"{name}: {counted.launches:,} operations launched; Python waits {counted.waits} times")
    kinds = ", ".join(f"{count} × {operation}" for operation, count in counted.waited.most_common())
    print(fill(kinds or "nothing", 110, initial_indent="  waits for: ", subsequent_indent="    "))
    guesses = {"operations": launches, "waits": waits}
    if said := [f"{guess:,} {what}" for what, guess in guesses.items() if guess is not None]:
        print(f"  you said {' and '.join(said)}")
    if not own_parts:
        print("  (all parts of this detector are the course's; yours may launch more, and wait more often)")


def profile_step(step: Step, batch: Batch, longest: str, operations: int = 4) -> None:
    """Take a step under PyTorch's profiler. Print its phases, and the operations that take the longest.

    Args:
        step: (images, targets) → losses; takes a training step.
        batch: images and targets to take it on.
        longest: the phase that the reader expects to take the longest.
        operations: how many of the operations to print.
    """
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with without_notes(), profile(activities=activities) as profiled:
        step(*batch)
    device = "device" if on_gpu else "cpu"
    phases = phases_of(profiled.events() or [], f"{device}_time_total")
    for name, seconds in phases.items():
        print(f"{name:10} {seconds:6.3f} s")
    print(f"the longest phase: {max(phases, key=lambda name: phases[name])}; you said {longest}")
    print("the operations that take the longest:")
    own = attrgetter(f"self_{device}_time_total")
    for average in sorted(profiled.key_averages(), key=own, reverse=True)[:operations]:
        print(f"           {own(average) / 1e6:6.3f} s   {average.count:5} × {average.key}")


@contextmanager
def without_notes() -> Iterator[None]:
    """Hide what C++ code prints to standard error in the block, such as the profiler's notes on its own progress."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def phases_of(events: Iterable[Any], time_of: str) -> dict[str, float]:
    """Add up the seconds of a profiled step by phase.

    Args:
        events: the profiler's. Those without a parent are counted, because the others are parts of them.
        time_of: name of the attribute with an event's microseconds.
    """
    seconds = {"forward": 0.0, "backward": 0.0, "optimizer": 0.0}
    for event in events:
        if event.cpu_parent is None:
            is_backward, is_update = (event.name.startswith(start) for start in ("autograd::engine", "Optimizer."))
            phase = "backward" if is_backward else "optimizer" if is_update else "forward"
            seconds[phase] += getattr(event, time_of) / 1e6
    return seconds
