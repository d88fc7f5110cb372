"""Exercise 8.6, `halve_on_oom`: survive running out of memory with the same effective batch size."""

import math
from collections.abc import Iterator
from typing import Any

import torch

from coursekit.from_scratch.real_step import accumulate, halve_on_oom
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import SmallModel, TooManyCallsError, backward_of, draw_batch, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("enough memory", [1, 1], 2, 8)
    yield case("memory for two of four images", [1, 1, 1, 1], 4, 2)
    yield case("memory for one of eight images", [1] * 8, 8, 1)
    yield case("micro-batches of three, and memory for two", [1, 1, 1], 3, 2)
    yield case("micro-batches of six, and memory for four", [1] * 6, 6, 4)
    yield case("a last image that is larger than the others", [1, 1, 1, 2], 2, 2)
    yield case("not enough memory for one image", [3, 3], 2, 2)
    yield case("gradients left from before", [1, 1, 1], 3, 2, 1.0)
    yield case("enough memory, and gradients left from before", [1, 1], 2, 8, 1.0)
    yield case("memory for one of four images in the backward pass", [1] * 4, 4, 8, 0.0, 1)
    yield case("the same, and gradients left from before", [1] * 4, 4, 8, 1.0, 2)
    yield case("memory that runs out in the second backward pass", [1, 1, 1, 2], 2, 8, 0.0, 2)
    yield case("not enough memory for one image in the backward pass", [3, 3], 2, 8, 0.0, 2)
    yield case("micro-batches of seven, and memory for one", [1] * 7, 7, 1)
    yield case("an error that has nothing to do with memory", [-1, -1], 2, 8)


def call(
    answer: Answer,
    cost_of_images: list[int],
    micro_batch: int,
    memory: int,
    gradients_before: float = 0.0,
    memory_in_backward: int = 99,
) -> Any:
    """Return gradients, losses or the error, and whether tensors of a failed attempt were alive in a later one."""
    model, attempts = SmallModel(), list[int]()
    model.memory, model.memory_in_backward = memory, memory_in_backward
    model.set_gradients(gradients_before)
    images, targets = draw_batch(len(cost_of_images))
    for target, cost in zip(targets, cost_of_images, strict=True):
        target["cost"] = cost

    def attempt(size: int) -> dict[str, float]:
        attempts.append(size)
        return accumulate(backward_of(model), images, targets, size)

    returned, raised = None, "nothing"
    try:
        returned = answer(attempt, model.zero_grad, micro_batch)
    except TooManyCallsError:
        raised = "nothing, and it never ends"
    except torch.OutOfMemoryError:
        raised = "OutOfMemoryError"
    except RuntimeError as error:
        raised = str(error)
    return {
        "raised": raised,
        "attempts": attempts if raised != "nothing, and it never ends" else [],
        "losses and micro-batch": without_graphs(returned),
        "gradients": model.gradients() if raised == "nothing" else None,
        "tensors of a failed attempt are alive": model.holds_failed_try,
    }


def retried(
    attempt, clear, micro_batch, *, error=torch.OutOfMemoryError, clears="before each attempt",
    half=lambda size: math.ceil(size / 2), give_up=True, report_first=False,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    first = micro_batch
    if clears == "once":
        clear()
    while True:
        if clears == "before each attempt":
            clear()
        try:
            return attempt(micro_batch), first if report_first else micro_batch
        except error:
            if micro_batch == 1 and give_up:
                raise
        micro_batch = max(1, half(micro_batch))


def changed(**how):
    """Return `retried` with a keyword changed."""
    return lambda *args: retried(*args, **how)


def wrong_halves_once(attempt, clear, micro_batch):
    clear()
    try:
        return attempt(micro_batch), micro_batch
    except torch.OutOfMemoryError:
        pass
    micro_batch = math.ceil(micro_batch / 2)
    clear()
    return attempt(micro_batch), micro_batch


def wrong_skips_the_batch(attempt, clear, micro_batch):
    try:
        return halve_on_oom(attempt, clear, micro_batch)
    except torch.OutOfMemoryError:
        return {}, 1


def wrong_clears_after_a_failure_only(attempt, clear, micro_batch):
    while True:
        try:
            return attempt(micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        clear()
        micro_batch = math.ceil(micro_batch / 2)


def wrong_clears_at_the_end(attempt, clear, micro_batch):
    result = halve_on_oom(attempt, clear, micro_batch)
    clear()
    return result


def wrong_attempts_twice(attempt, clear, micro_batch):
    _, micro_batch = halve_on_oom(attempt, clear, micro_batch)
    return attempt(micro_batch), micro_batch


def wrong_starts_from_1(attempt, clear, micro_batch):
    clear()
    return attempt(1), 1


def wrong_keeps_the_error(attempt, clear, micro_batch):
    failed = None
    while True:
        clear()
        try:
            return attempt(micro_batch), micro_batch
        except torch.OutOfMemoryError as error:
            failed = error
        if micro_batch == 1:
            raise failed
        micro_batch = math.ceil(micro_batch / 2)


def wrong_another_error(attempt, clear, micro_batch):
    try:
        return halve_on_oom(attempt, clear, micro_batch)
    except torch.OutOfMemoryError:
        raise RuntimeError("out of memory") from None


def wrong_micro_batch_first(attempt, clear, micro_batch):
    losses, micro_batch = halve_on_oom(attempt, clear, micro_batch)
    return micro_batch, losses


def wrong_only_losses(attempt, clear, micro_batch):
    return halve_on_oom(attempt, clear, micro_batch)[0]


def wrong_retries_inside_except(attempt, clear, micro_batch):
    clear()
    try:
        return attempt(micro_batch), micro_batch
    except torch.OutOfMemoryError:
        if micro_batch == 1:
            raise
        return wrong_retries_inside_except(attempt, clear, math.ceil(micro_batch / 2))


def wrong_down_to_0(attempt, clear, micro_batch):
    while micro_batch:
        clear()
        try:
            return attempt(micro_batch), micro_batch
        except torch.OutOfMemoryError:
            pass
        micro_batch //= 2


def right_with_a_flag(attempt, clear, micro_batch):
    losses = None
    while losses is None:
        clear()
        try:
            losses = attempt(micro_batch)
        except torch.OutOfMemoryError:
            if micro_batch <= 1:
                raise
        if losses is None:
            micro_batch = (micro_batch + 1) // 2
    return losses, micro_batch


def right_by_recursion_outside(attempt, clear, micro_batch):
    clear()
    try:
        return attempt(micro_batch), micro_batch
    except torch.OutOfMemoryError as error:
        if micro_batch == 1:
            raise error
    return right_by_recursion_outside(attempt, clear, micro_batch - micro_batch // 2)


EXERCISE = Exercise(
    "halve_on_oom",
    lesson=8,
    minutes=18,
    reference=halve_on_oom,
    cases=cases,
    call=call,
    hints=(
        "“The gradients are too large after a failure.” If the first micro-batch fit and the second did not, part of the "
        "batch is in the gradients already. Begin each attempt with clear().",
        "“Tensors of the failed attempt are still in memory.” While an `except` block runs, the error is alive, and it keeps "
        "all tensors of the failed attempt alive. Do as little as you can in that block, and retry outside it: put a `while "
        "True` around the `try`.",
        "“Nearly there.” while True: clear(); try: return attempt(micro_batch), micro_batch; except torch.OutOfMemoryError: if "
        "micro_batch == 1: raise. After the block: micro_batch = -(-micro_batch // 2), which is half, rounded up.",
    ),
    wrong=(
        Wrong(changed(clears="once"), "gradients of the failed attempt are not cleared"),
        Wrong(changed(clears="never"), "gradients are never cleared"),
        Wrong(changed(half=lambda size: size // 2), "half is rounded down"),
        Wrong(wrong_halves_once, "it halves once, and not again"),
        Wrong(changed(half=lambda size: 1), "it goes straight down to one image at a time"),
        Wrong(
            changed(report_first=True),
            "it doesn't return the micro-batch that fit, but the first one: each step will fail first",
        ),
        Wrong(
            wrong_retries_inside_except,
            "the error is alive during the retry (inside `except`, or in a variable): it keeps the failed attempt's tensors",
        ),
        Wrong(changed(error=RuntimeError), "every RuntimeError is treated as running out of memory"),
        Wrong(changed(give_up=False), "if not even one image fits, it never ends"),
        Wrong(wrong_skips_the_batch, "if not even one image fits, the batch is silently skipped"),
        Wrong(wrong_only_losses, "the micro-batch that fit is not returned"),
        Wrong(
            wrong_clears_after_a_failure_only,
            "gradients are cleared after a failure only: those left from before stay in the first attempt",
        ),
        Wrong(
            wrong_clears_at_the_end, "gradients are cleared after the attempt that fit: nothing is left for the step"
        ),
        Wrong(wrong_attempts_twice, "the batch is attempted once more after it fit: the gradients are twice as large"),
        Wrong(wrong_starts_from_1, "it takes one image at a time from the start, whatever `micro_batch` is"),
        Wrong(wrong_keeps_the_error),
        Wrong(wrong_down_to_0, "it halves down to 0 and returns nothing"),
        Wrong(wrong_another_error, "if not even one image fits, it raises another error than torch.OutOfMemoryError"),
        Wrong(wrong_micro_batch_first, "the micro-batch comes first: the losses should"),
        Wrong(changed(half=lambda size: math.ceil(size / 4)), "the micro-batch is quartered, not halved"),
        Wrong(changed(half=lambda size: size - 1), "the micro-batch shrinks by one image instead of by half"),
    ),
    right=(right_with_a_flag, right_by_recursion_outside),
)
