"""Exercise 8.1, `warmup_cosine`: a learning rate that rises, then falls along half a cosine."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.training.optimizer import warmup_cosine


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("the first step, without warm-up", 0, 10, 0)
    yield case("the first step, which should change the weights, too", 0, 10, 1)
    yield case("a step of the warm-up", 2, 20, 4)
    yield case("the last step of the warm-up", 3, 20, 4)
    yield case("the first step after the warm-up", 4, 20, 4)
    yield case("half of the steps after the warm-up", 12, 20, 4)
    yield case("a quarter of the steps after the warm-up", 8, 20, 4)
    yield case("the end", 20, 20, 4)
    yield case("a step beyond the end", 26, 20, 4)
    yield case("a run that is all warm-up", 3, 4, 4)
    yield case("a run that is all warm-up, at its end", 4, 4, 4)
    yield case("a run that ends during the warm-up", 2, 3, 6)
    yield case("a run of one step, without warm-up", 0, 1, 0)
    yield case("the end of that run", 1, 1, 0)
    yield case("the last step of a long run", 89_999, 90_000, 500)


def half_cosine(share):
    return 0.5 + 0.5 * math.cos(math.pi * share)


def factor(step, total, warmup, *, first=1, steps=1, from_step_0=False, clamp=True, curve=half_cosine):
    """Return the right answer; keyword arguments turn it into a wrong one."""
    if step < warmup:
        return (step + first) / (warmup + steps)
    share = step / total if from_step_0 else (step - warmup) / max(1, total - warmup)
    return curve(min(1.0, share) if clamp else share)


def changed(**how):
    """Return `factor` with a keyword changed."""
    return lambda *args: factor(*args, **how)


def wrong_no_warmup(step, total, warmup):
    return warmup_cosine(step, total, 0)


def wrong_divides_by_0(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return half_cosine(min(1.0, (step - warmup) / (total - warmup)))


def wrong_smaller_of_both(step, total, warmup):
    return min((step + 1) / (warmup + 1), half_cosine(min(1, step / total)))


def wrong_product_of_both(step, total, warmup):
    return min(1, (step + 1) / (warmup + 1)) * half_cosine(min(1, step / total))


def wrong_in_degrees(step, total, warmup):
    return factor(step, total, warmup, curve=lambda share: (1 + math.cos(180 * share)) / 2)


def wrong_integer_division(step, total, warmup):
    if step < warmup:
        return (step + 1) // (warmup + 1)
    return half_cosine(min(1, (step - warmup) // max(1, total - warmup)))


def wrong_never_below_a_hundredth(step, total, warmup):
    return max(0.01, factor(step, total, warmup))


def wrong_ends_a_step_early(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return half_cosine(min(1.0, (step - warmup) / max(1, total - warmup - 1)))


def wrong_starts_a_step_late(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return half_cosine(min(1.0, (step - warmup + 1) / max(1, total - warmup)))


def wrong_warmup_up_to_and_including(step, total, warmup):
    if step <= warmup:
        return (step + 1) / (warmup + 1) if warmup else 0.5
    return half_cosine(min(1.0, (step - warmup) / max(1, total - warmup)))


def wrong_upside_down(step, total, warmup):
    return factor(step, total, warmup, curve=lambda share: 0.5 - 0.5 * math.cos(math.pi * share))


def right_that_stays_at_1_if_all_was_warmup(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1.0 if total <= warmup else half_cosine(min(1, (step - warmup) / (total - warmup)))


def right_by_numpy(step, total, warmup):
    rise = np.interp(step, [-1, warmup], [0, 1])
    share = np.clip((step - warmup) / np.maximum(total - warmup, 1), 0, 1)
    return rise * (1 + np.cos(np.pi * share)) / 2


def right_by_a_square(step, total, warmup):
    if step < warmup:
        return 1 - (warmup - step) / (warmup + 1)
    share = min(step - warmup, total - warmup) / max(total - warmup, 1)
    return math.cos(math.pi / 2 * share) ** 2


def right_by_tensors(step, total, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    share = torch.tensor((step - warmup) / max(1, total - warmup)).clamp(max=1)
    return float(0.5 * (1 + torch.cos(math.pi * share)))


EXERCISE = Exercise(
    "warmup_cosine",
    lesson=8,
    minutes=10,
    reference=warmup_cosine,
    cases=cases,
    library=("transformers.get_cosine_schedule_with_warmup", "timm.scheduler.CosineLRScheduler"),
    hints=(
        "“My first step does nothing.” With step / warmup, step 0 has a learning rate of 0. Count the steps from 1, and note "
        "that the full rate comes right after the last step of the warm-up.",
        "“It is right during the warm-up, then wrong.” The cosine begins where the warm-up ends: its share is (step - warmup) "
        "/ (total - warmup), from 0 to 1. Beyond the end it stays 1, and total may be equal to warmup.",
        "“Nearly there.” if step < warmup: return (step + 1) / (warmup + 1). Then share = min(1, (step - warmup) / max(1, total - "
        "warmup)), and 0.5 + 0.5 * cos(π * share).",
    ),
    wrong=(
        Wrong(changed(first=0, steps=0), "step 0 has a learning rate of 0: a step that does nothing"),
        Wrong(changed(steps=0), "the full rate comes a step early: the last step of the warm-up has it"),
        Wrong(
            changed(from_step_0=True), "the cosine counts from step 0, not from the end of the warm-up: the rate jumps"
        ),
        Wrong(changed(clamp=False), "beyond the end the rate rises again"),
        Wrong(
            changed(curve=lambda share: math.cos(math.pi * share)),
            "it falls to -1: the cosine is neither halved nor raised",
        ),
        Wrong(
            changed(curve=lambda share: math.cos(math.pi / 2 * share)),
            "it is a quarter of a cosine: it falls slowly at first and steeply at the end",
        ),
        Wrong(changed(curve=lambda share: 1 - share), "it falls along a line, not along a cosine"),
        Wrong(wrong_no_warmup, "there is no warm-up"),
        Wrong(wrong_divides_by_0, "it divides by 0 if all steps are warm-up"),
        Wrong(wrong_smaller_of_both, "warm-up and cosine run at the same time: the cosine begins after the warm-up"),
        Wrong(wrong_product_of_both, "warm-up and cosine are multiplied: the cosine begins after the warm-up"),
        Wrong(wrong_in_degrees, "the angle is in degrees: math.cos takes radians"),
        Wrong(wrong_integer_division, "// drops the fraction: the factor is 0 or 1"),
        Wrong(wrong_ends_a_step_early, "the factor is 0 a step early: at total - 1 instead of total"),
        Wrong(wrong_starts_a_step_late, "the cosine is a step ahead: step `warmup` should have a factor of 1"),
        Wrong(wrong_upside_down, "the cosine is upside down: it rises"),
        Wrong(wrong_never_below_a_hundredth),
        Wrong(wrong_warmup_up_to_and_including),
    ),
    right=(right_by_a_square, right_by_tensors, right_that_stays_at_1_if_all_was_warmup, right_by_numpy),
)
