"""Exercise 8.3, `time_step`: measure where the time of a training step goes."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch

from coursekit.from_scratch.training import time_step
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.small_model import Batch, SmallModel, draw_batch, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a step that only waits for data", 3.0, 0.0, 0.0, 0.0)
    yield case("a step that is all forward", 0.0, 2.0, 0.0, 0.0)
    yield case("a step that is all backward", 0.0, 0.0, 4.0, 0.0)
    yield case("a step that is all optimizer", 0.0, 0.0, 0.0, 1.0)
    yield case("all four", 1.0, 2.0, 4.0, 0.5)
    yield case("three steps, one after the other", 0.5, 1.0, 2.0, 0.25, 3)
    yield case("gradients left from before", 1.0, 2.0, 4.0, 0.5, 1, 1.0)


def call(
    answer: Answer,
    data: float,
    forward: float,
    backward: float,
    optimizer: float,
    steps: int = 1,
    gradients_before: float = 0.0,
) -> Any:
    """Take steps with a clock that moves only at these four points, by the given seconds."""
    now = [1000.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    def batches() -> Iterator[Batch]:
        for number in range(steps + 1):
            wait(data)
            yield draw_batch(2 + number, number)

    model, source = SmallModel(), batches()
    model.set_gradients(gradients_before)
    model.on_forward, model.on_backward = partial(wait, forward), partial(wait, backward)
    sgd = torch.optim.SGD(model.layer.parameters(), lr=0.1)
    sgd.register_step_pre_hook(lambda *_: wait(optimizer))
    times = {f"step {number}": answer(model, source, sgd, lambda: now[0]) for number in range(1, steps + 1)}
    return {
        **without_graphs(times),
        "weights afterward": model.weights(),
        "batches left": sum(1 for _ in source),
    }


# Wrong answers. Most of them report the right times in a wrong way.


def reported(report):
    """Return the reference with its result changed."""
    return lambda *args: report(time_step(*args))


def merged(into, empty):
    """Return the reference with the seconds of one phase added to another's."""
    return reported(lambda times: times | {into: times[into] + times[empty], empty: 0.0})


def sums(times):
    names = list(times)
    return {name: sum(times[other] for other in names[: names.index(name) + 1]) for name in names}


def shares(times):
    return {name: seconds / sum(times.values()) for name, seconds in times.items()}


def wrong_data_not_counted(model, batches, optimizer, clock):
    return time_step(model, iter([next(batches)]), optimizer, clock)


def wrong_gradients_not_cleared(model, batches, optimizer, clock):
    with patch.object(optimizer, "zero_grad", lambda: None):
        return time_step(model, batches, optimizer, clock)


def wrong_no_optimizer_step(model, batches, optimizer, clock):
    with patch.object(optimizer, "step", lambda: None):
        return time_step(model, batches, optimizer, clock)


def wrong_all_batches(model, batches, optimizer, clock):
    times = {}
    for batch in list(batches):
        times = time_step(model, iter([batch]), optimizer, clock)
    return times


def wrong_sum_over_all_batches(model, batches, optimizer, clock):
    total = dict.fromkeys(("data", "forward", "backward", "optimizer"), 0.0)
    with contextlib.suppress(StopIteration):
        while True:
            for name, seconds in time_step(model, batches, optimizer, clock).items():
                total[name] += seconds
    return total


def wrong_its_own_clock(model, batches, optimizer, clock):
    return time_step(model, batches, optimizer, time.perf_counter)


def wrong_a_tuple(model, batches, optimizer, clock):
    return tuple(time_step(model, batches, optimizer, clock).values())


def right_with_a_list(model, batches, optimizer, clock):
    optimizer.zero_grad()
    times = [clock()]
    images, targets = next(batches)
    times.append(clock())
    loss = sum(model(images, targets).values())
    times.append(clock())
    loss.backward()
    times.append(clock())
    optimizer.step()
    times.append(clock())
    phases = [after - before for before, after in pairwise(times)]
    return dict(zip(("data", "forward", "backward", "optimizer"), phases))


def wrong_clears_after_the_step(model, batches, optimizer, clock):
    with patch.object(optimizer, "zero_grad", lambda: None):
        times = time_step(model, batches, optimizer, clock)
    optimizer.zero_grad()
    return times


def wrong_clears_after_backward(model, batches, optimizer, clock):
    start = clock()
    images, targets = next(batches)
    after_data = clock()
    losses = model(images, targets)
    after_forward = clock()
    sum(losses.values()).backward()
    optimizer.zero_grad()
    after_backward = clock()
    optimizer.step()
    phases = clock() - after_backward
    return {
        "data": after_data - start,
        "forward": after_forward - after_data,
        "backward": after_backward - after_forward,
        "optimizer": phases,
    }


def wrong_only_the_first_loss(model, batches, optimizer, clock):
    def first(images, targets):
        return dict([next(iter(model(images, targets).items()))])

    return time_step(first, batches, optimizer, clock)


def wrong_steps_twice(model, batches, optimizer, clock):
    times = time_step(model, batches, optimizer, clock)
    optimizer.step()
    return times


def wrong_backward_and_optimizer_swapped(model, batches, optimizer, clock):
    times = time_step(model, batches, optimizer, clock)
    return times | {"backward": times["optimizer"], "optimizer": times["backward"]}


def wrong_a_total_too(model, batches, optimizer, clock):
    times = time_step(model, batches, optimizer, clock)
    return times | {"total": sum(times.values())}


def wrong_times_of_the_clock(model, batches, optimizer, clock):
    start = clock()
    times = time_step(model, batches, optimizer, clock)
    ends = {}
    for name, seconds in times.items():
        start += seconds
        ends[name] = start
    return ends


def right_with_a_loop_that_returns(model, batches, optimizer, clock):
    model.zero_grad()
    phases, start = {}, clock()
    for images, targets in batches:
        phases["data"], start = clock() - start, clock()
        loss = torch.stack(list(model(images, targets).values())).sum()
        phases["forward"], start = clock() - start, clock()
        loss.backward()
        phases["backward"], start = clock() - start, clock()
        optimizer.step()
        optimizer.zero_grad()
        phases["optimizer"] = clock() - start
        return phases


EXERCISE = Exercise(
    "time_step",
    lesson=8,
    minutes=15,
    reference=time_step,
    cases=cases,
    call=call,
    hints=(
        "“My data takes no time.” The step waits for data inside next(batches), so read the clock before that call.",
        "“Backward's time shows up elsewhere.” Read the clock five times: at the start, then at the end of each phase. A "
        "phase is the difference of two neighboring times, so the four add up to the time of the step.",
        "“Nearly there.” start = clock(); images, targets = next(batches); after_data = clock(); losses = model(images, "
        "targets); after_forward = clock(); zero_grad, sum, backward; after_backward = clock(); optimizer.step(); end = "
        "clock(). Then four differences.",
    ),
    wrong=(
        Wrong(wrong_data_not_counted, "the batch is taken before the clock is read: waiting for data isn't measured"),
        Wrong(merged("forward", "data"), "waiting for data is counted as forward"),
        Wrong(merged("optimizer", "backward"), "backward is counted as optimizer"),
        Wrong(merged("backward", "forward"), "forward is counted as backward"),
        Wrong(reported(sums), "each phase is measured from the start of the step"),
        Wrong(reported(shares), "it returns shares instead of seconds"),
        Wrong(
            reported(lambda times: {name: 1e3 * seconds for name, seconds in times.items()}),
            "it returns milliseconds instead of seconds",
        ),
        Wrong(wrong_gradients_not_cleared, "gradients are not cleared, which changes the second step"),
        Wrong(wrong_no_optimizer_step, "the weights don't change: the optimizer takes no step"),
        Wrong(wrong_all_batches, "it uses up all batches instead of one"),
        Wrong(
            wrong_clears_after_the_step,
            "gradients are cleared after the step only: those left from before go into the first one",
        ),
        Wrong(wrong_clears_after_backward, "gradients are cleared between backward and the step: no weight changes"),
        Wrong(wrong_only_the_first_loss, "only the first of the losses is used"),
        Wrong(wrong_steps_twice, "the optimizer steps twice"),
        Wrong(wrong_backward_and_optimizer_swapped, "backward and optimizer are swapped"),
        Wrong(merged("forward", "backward"), "backward is counted as forward"),
        Wrong(wrong_times_of_the_clock, "it returns the times of the clock, not the differences between them"),
        Wrong(wrong_a_tuple, "it returns a tuple, not a dict"),
        Wrong(wrong_a_total_too, "there is a fifth number: return the four phases"),
        Wrong(wrong_sum_over_all_batches),
        Wrong(wrong_its_own_clock),
    ),
    right=(right_with_a_list, right_with_a_loop_that_returns),
)
