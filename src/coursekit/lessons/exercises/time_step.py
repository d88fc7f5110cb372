"""Exercise 8.3, `time_step`: measure how long a training step waits for data, and how long it computes."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from coursekit.from_scratch.training import time_step
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import Batch, draw_batch, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a step that only waits for data", 3.0, 0.0)
    yield case("a step that only computes", 0.0, 2.0)
    yield case("a step that waits longer than it computes", 4.0, 1.0)
    yield case("a step that computes longer than it waits", 0.25, 1.5)
    yield case("three steps, one after the other", 0.5, 2.0, 3)


def call(answer: Answer, data: float, compute: float, steps: int = 1) -> Any:
    """Take steps with a clock that moves by `data` while a batch is awaited, and by `compute` in a step."""
    now, taken = [1000.0], []

    def wait(seconds: float) -> None:
        now[0] += seconds

    def batches() -> Iterator[Batch]:
        for number in range(steps + 1):
            wait(data)
            yield draw_batch(2 + number, number)

    def step(images: Any, targets: Any) -> dict[str, float]:
        wait(compute)
        taken.append((len(images), len(targets)))
        return {"loss": 1.0}

    source = batches()
    times = {f"step {number}": answer(step, source, lambda: now[0]) for number in range(1, steps + 1)}
    return {
        **without_graphs(times),
        "images and targets of each step": taken,
        "batches left": sum(1 for _ in source),
    }


# Wrong answers. Most of them report the right times in a wrong way.


def reported(report):
    """Return the reference with its result changed."""
    return lambda *args: report(time_step(*args))


def shares(times):
    return {name: seconds / sum(times.values()) for name, seconds in times.items()}


def wrong_data_not_counted(step, batches, clock):
    return time_step(step, iter([next(batches)]), clock)


def wrong_compute_from_the_start(step, batches, clock):
    start = clock()
    images, targets = next(batches)
    data = clock() - start
    step(images, targets)
    return {"data": data, "compute": clock() - start}


def wrong_compute_is_never_run(step, batches, clock):
    return time_step(lambda images, targets: None, batches, clock)


def wrong_steps_twice(step, batches, clock):
    def twice(images, targets):
        step(images, targets)
        step(images, targets)

    return time_step(twice, batches, clock)


def wrong_all_batches(step, batches, clock):
    times = {}
    for batch in list(batches):
        times = time_step(step, iter([batch]), clock)
    return times


def wrong_sum_over_all_batches(step, batches, clock):
    total = dict.fromkeys(("data", "compute"), 0.0)
    with contextlib.suppress(StopIteration):
        while True:
            for name, seconds in time_step(step, batches, clock).items():
                total[name] += seconds
    return total


def wrong_two_batches(step, batches, clock):
    next(batches)
    return time_step(step, batches, clock)


def wrong_times_of_the_clock(step, batches, clock):
    images, targets = next(batches)
    data = clock()
    step(images, targets)
    return {"data": data, "compute": clock()}


def wrong_its_own_clock(step, batches, clock):
    return time_step(step, batches, time.perf_counter)


def right_with_a_list(step, batches, clock):
    times = [clock()]
    batch = next(batches)
    times.append(clock())
    step(*batch)
    times.append(clock())
    return dict(zip(("data", "compute"), [after - before for before, after in pairwise(times)]))


def right_with_a_loop_that_returns(step, batches, clock):
    phases, start = {}, clock()
    for images, targets in batches:
        phases["data"], start = clock() - start, clock()
        step(images, targets)
        phases["compute"] = clock() - start
        return phases


def right_with_a_helper(step, batches, clock):
    def timed(work):
        start = clock()
        return work(), clock() - start

    batch, data = timed(partial(next, batches))
    return {"data": data, "compute": timed(lambda: step(*batch))[1]}


EXERCISE = Exercise(
    "time_step",
    lesson=8,
    minutes=12,
    reference=time_step,
    cases=cases,
    call=call,
    hints=(
        "“My data takes no time.” The wait happens inside next(batches), so read the clock before that call.",
        "“Waiting and computing are mixed up.” Read the clock three times: at the start, when the batch has arrived, and "
        "after the step. Each result is the difference of two neighboring times.",
        "“Nearly there.” start = clock(); images, targets = next(batches); after_data = clock(); step(images, targets); end = "
        "clock(). Then two differences, in a dict.",
    ),
    wrong=(
        Wrong(wrong_data_not_counted, "the batch is taken before the clock is read: waiting for data isn't measured"),
        Wrong(
            reported(lambda times: {"data": times["compute"], "compute": times["data"]}), "data and compute are swapped"
        ),
        Wrong(
            reported(lambda times: {"data": 0.0, "compute": sum(times.values())}), "waiting for data counts as compute"
        ),
        Wrong(wrong_compute_from_the_start, "compute is measured from the start: it includes the wait for the batch"),
        Wrong(wrong_compute_is_never_run, "the step isn't called"),
        Wrong(wrong_steps_twice, "the step is taken twice"),
        Wrong(reported(shares), "it returns shares instead of seconds"),
        Wrong(
            reported(lambda times: {name: 1e3 * seconds for name, seconds in times.items()}),
            "it returns milliseconds instead of seconds",
        ),
        Wrong(wrong_all_batches, "it uses up all batches instead of one"),
        Wrong(wrong_two_batches, "it takes two batches, and drops the first"),
        Wrong(wrong_times_of_the_clock, "it returns the times of the clock, not the differences between them"),
        Wrong(reported(lambda times: tuple(times.values())), "it returns a tuple, not a dict"),
        Wrong(
            reported(lambda times: times | {"total": sum(times.values())}),
            "there is a third number: return the two phases",
        ),
        Wrong(wrong_sum_over_all_batches),
        Wrong(wrong_its_own_clock),
    ),
    right=(right_with_a_list, right_with_a_loop_that_returns, right_with_a_helper),
)
