"""Exercise 8.2, `train_step`: a training step that stops before it ruins the weights."""

import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from coursekit.from_scratch.training import train_step
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import SmallModel, draw_batch, total, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("one image", [1])
    yield case("gradients left from before", [2], 1.0, 10, 1.0)
    yield case("three steps, one after the other", [2, 3, 2])
    yield case("losses so large that the gradients are clipped", [4], 1000.0)
    yield case("gradients clipped to a norm of 1", [4], 1000.0, 1)
    yield case("gradients that are shorter than the norm", [3], 1e-3, 2.5)
    yield case("a loss of NaN in the second of two steps", [2, 2], 1.0, 10, 0.0, "nan")
    yield case("an infinite loss in the second step", [2, 2], 1.0, 10, 0.0, "inf")
    yield case("a loss of minus infinity in the second step", [2, 2], 1.0, 10, 0.0, "-inf")
    yield case(
        "one of the losses infinite, the other minus infinite: their sum is NaN", [2, 2], 1.0, 10, 0.0, "inf - inf"
    )
    yield case("a loss that is huge, but finite", [2, 2], 1e10)


def call(
    answer: Answer,
    batch_sizes: list[int],
    loss_scale: float = 1.0,
    max_norm: float = 10,
    gradients_before: float = 0.0,
    special: str = "",
) -> Any:
    """Take a step on each batch, and return losses, weights, and whether a FloatingPointError stopped the last one."""
    model = SmallModel()
    model.loss_scale = loss_scale
    model.set_gradients(gradients_before)
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.5)
    if special:
        model.special, model.special_call = special, len(batch_sizes)
    norm = {} if max_norm == 10 else {"max_norm": max_norm}
    raised, losses = "nothing", []
    try:
        for number, size in enumerate(batch_sizes):
            losses.append(answer(model, *draw_batch(size, number), optimizer, **norm))
    except FloatingPointError:
        raised = "a FloatingPointError"
    return {
        "the last step raises": raised,
        "losses of each step": without_graphs(losses),
        "weights afterward": model.weights(),
    }


def step(
    model, images, targets, optimizer, max_norm=10, *, zero="before backward", clip=nn.utils.clip_grad_norm_,
    if_bad="stop", is_bad=lambda loss: not math.isfinite(loss.item()), loss_of=total, value=lambda loss: loss.item(),
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    losses = model(images, targets)
    loss = loss_of(losses)
    values = {name: value(loss) for name, loss in losses.items()}
    if is_bad(loss) and if_bad == "stop":
        raise FloatingPointError
    if is_bad(loss) and if_bad == "skip":
        return values
    if zero == "before backward":
        optimizer.zero_grad()
    loss.backward()
    if zero == "after backward":
        optimizer.zero_grad()
    clip(model.parameters(), max_norm)
    optimizer.step()
    if is_bad(loss) and if_bad == "stop late":
        raise FloatingPointError
    if zero == "after the step":
        optimizer.zero_grad()
    return values


def changed(**how):
    """Return `step` with a keyword changed."""
    return lambda *args, **kwargs: step(*args, **kwargs, **how)


def wrong_clips_before_backward(model, images, targets, optimizer, max_norm=10):
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return step(model, images, targets, optimizer, max_norm, clip=lambda *_: None)


def wrong_another_error(*args, **kwargs):
    try:
        return train_step(*args, **kwargs)
    except FloatingPointError:
        raise ValueError("the loss is not finite") from None


def wrong_returns_the_sum(*args, **kwargs):
    return sum(train_step(*args, **kwargs).values())


def wrong_returns_nothing(*args, **kwargs):
    train_step(*args, **kwargs)


def wrong_always_10(model, images, targets, optimizer, max_norm=10):
    return train_step(model, images, targets, optimizer, 10)


def wrong_steps_twice(model, images, targets, optimizer, max_norm=10):
    losses = train_step(model, images, targets, optimizer, max_norm)
    optimizer.step()
    return losses


def wrong_no_step(model, images, targets, optimizer, max_norm=10):
    with patch.object(optimizer, "step", lambda: None):
        return train_step(model, images, targets, optimizer, max_norm)


def wrong_loss_per_image(model, images, targets, optimizer, max_norm=10):
    return step(model, images, targets, optimizer, max_norm, loss_of=lambda losses: total(losses) / len(images))


def wrong_two_backwards(model, images, targets, optimizer, max_norm=10):
    losses = model(images, targets)
    if not math.isfinite(total(losses).item()):
        raise FloatingPointError
    for loss in losses.values():
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return {name: loss.item() for name, loss in losses.items()}


def right_clears_first(model, images, targets, optimizer, max_norm=10):
    optimizer.zero_grad(set_to_none=False)
    values = dict(model(images, targets))
    if not all(math.isfinite(loss.item()) for loss in values.values()):
        raise FloatingPointError(f"the losses are {values}")
    torch.autograd.backward(list(values.values()))
    nn.utils.clip_grad_norm_([weight for weight in model.parameters() if weight.grad is not None], max_norm)
    optimizer.step()
    return {name: float(loss.detach()) for name, loss in values.items()}


def right_that_clears_after_it_too(model, images, targets, optimizer, max_norm=10.0):
    model.zero_grad()
    losses = model(images, targets)
    loss = sum(losses.values())
    if not torch.isfinite(loss):
        raise FloatingPointError("stopped")
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return dict(zip(losses, torch.stack(list(losses.values())).tolist()))


EXERCISE = Exercise(
    "train_step",
    lesson=8,
    minutes=18,
    reference=train_step,
    cases=cases,
    call=call,
    hints=(
        "“The first step is right, the second is wrong.” backward() adds to the gradients that are there. Clear them once "
        "in each step, before backward().",
        "“It doesn't stop, or it stops too late.” Look at the sum of the losses with math.isfinite(total.item()) before "
        "backward(): a weight that has become NaN stays NaN. Clip between backward() and optimizer.step().",
        "“Nearly there.” losses = model(images, targets); total = their sum; raise FloatingPointError if it isn't finite; "
        "optimizer.zero_grad(); total.backward(); nn.utils.clip_grad_norm_(model.parameters(), max_norm); optimizer.step(); "
        "return each loss as loss.item(), by its name.",
    ),
    wrong=(
        Wrong(changed(zero="never"), "gradients are never cleared: each step includes those of all steps before it"),
        Wrong(
            changed(zero="after backward"),
            "no weight changes: gradients are cleared before the step, or the optimizer takes none",
        ),
        Wrong(wrong_no_step),
        Wrong(
            changed(zero="after the step"),
            "gradients are cleared after the step only: those left from before go into the first one",
        ),
        Wrong(
            changed(clip=lambda *_: None),
            "the step uses gradients that are not clipped: clip between backward and the step",
        ),
        Wrong(changed(clip=nn.utils.clip_grad_value_), "each value of the gradients is clipped, instead of their norm"),
        Wrong(wrong_always_10, "gradients are clipped to a norm of 10, whatever `max_norm` is"),
        Wrong(changed(if_bad="ignore"), "a loss that is NaN or infinite doesn't stop it, and the weights are lost"),
        Wrong(
            changed(if_bad="stop late"),
            "it stops at a loss that is NaN or infinite, but after the weights have changed",
        ),
        Wrong(changed(if_bad="skip"), "a batch whose loss is NaN or infinite is silently skipped"),
        Wrong(changed(is_bad=torch.isnan), "it stops at a loss of NaN, but not at one that is infinite"),
        Wrong(
            changed(is_bad=lambda loss: bool(loss.isnan() | (loss == math.inf))),
            "it stops at NaN and at infinity, but not at minus infinity",
        ),
        Wrong(changed(is_bad=lambda loss: not loss < 1e6), "a loss that is large, but finite, stops it"),
        Wrong(
            changed(loss_of=lambda losses: next(iter(losses.values()))),
            "backward starts from the first of the losses only",
        ),
        Wrong(
            changed(loss_of=lambda losses: torch.stack(list(losses.values())).mean()),
            "the mean of the losses is used, instead of their sum",
        ),
        Wrong(
            changed(value=lambda loss: loss), "losses are returned as tensors that hold their graphs: memory fills up"
        ),
        Wrong(wrong_returns_the_sum, "it returns one number, where it should be a loss for each name"),
        Wrong(wrong_returns_nothing, "it returns nothing"),
        Wrong(wrong_another_error, "at a loss that is NaN or infinite it raises another error than FloatingPointError"),
        Wrong(wrong_steps_twice, "the optimizer steps twice"),
        Wrong(wrong_loss_per_image, "the losses are divided by the number of images"),
        Wrong(wrong_two_backwards, "gradients are cleared between the losses: only those of the last one count"),
        Wrong(wrong_clips_before_backward),
    ),
    right=(right_clears_first, right_that_clears_after_it_too),
)
