"""Exercise 8.2, `train_one_epoch`: a training loop that stops before it ruins the weights."""

import math
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from coursekit.from_scratch.training import train_one_epoch
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.small_model import SmallModel, draw_batch, total, without_graphs
from coursekit.training.optimizer import warmup_cosine


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("no batch", [])
    yield case("one batch of one image", [1])
    yield case("one batch, with gradients left from before", [2], 1.0, True)
    yield case("two batches", [2, 3])
    yield case("a model that was in eval mode", [2], 1.0, False, "eval")
    yield case("losses so large that gradients are clipped", [4], 1000.0)
    yield case("six batches, the learning rate follows its schedule", [2, 2, 3, 1, 4, 2])
    yield case("a loss of NaN in the third batch of four", [2, 2, 2, 2], 1.0, False, "nan")
    yield case("an infinite loss in the second batch", [2, 2, 2], 1.0, False, "inf")
    yield case("a loss of minus infinity in the second batch", [2, 2, 2], 1.0, False, "-inf")
    yield case(
        "one of the losses infinite, the other minus infinite: their sum is NaN", [2, 2], 1.0, False, "inf - inf"
    )
    yield case("a loss that is huge, but finite", [2, 2], 1e10)


def call(
    answer: Answer, batch_sizes: list[int], loss_scale: float = 1.0, gradients_left: bool = False, special: str = ""
) -> Any:
    """Train for an epoch, and return losses, learning rates, weights, and whether a FloatingPointError stopped it."""
    model, rates = SmallModel(), list[float]()
    model.loss_scale = loss_scale
    model.train(special != "eval")
    model.set_gradients(float(gradients_left))
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.5)
    optimizer.register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmup_cosine, total=6, warmup=2))
    batches = [draw_batch(size, number) for number, size in enumerate(batch_sizes)]
    if special not in ("", "eval"):
        model.special, model.special_call = special, len(batches) // 2 + 1
    ended, history = "with a history", None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where the schedule steps before the optimizer
        try:
            history = answer(model, iter(batches), optimizer, schedule)
        except FloatingPointError:
            ended = "by a FloatingPointError"
    losses = {"losses": without_graphs(history)} if ended == "with a history" else {}
    return {
        "it ends": ended,
        "mode of the model": "training" if set(model.modes) <= {"t"} else "eval",
        **losses,
        "learning rate of each step": rates,
        "weights afterward": model.weights(),
        "learning rate of the next step": optimizer.param_groups[0]["lr"],
    }


def epoch(
    model, batches, optimizer, schedule, *, train=True, zero="before backward", clip=nn.utils.clip_grad_norm_,
    max_norm=10, schedule_step="after the optimizer", if_bad="stop", is_bad=lambda loss: not math.isfinite(loss),
    loss_of=total, log=lambda loss: loss.item(),
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    model.train(train or model.training)
    history = []
    for images, targets in batches:
        loss = loss_of(model(images, targets))
        if is_bad(loss) and if_bad == "stop":
            raise FloatingPointError
        if is_bad(loss) and if_bad == "skip":
            continue
        if zero == "before backward":
            optimizer.zero_grad()
        loss.backward()
        if zero == "after backward":
            optimizer.zero_grad()
        clip(model.parameters(), max_norm)
        if schedule_step == "before the optimizer":
            schedule.step()
        optimizer.step()
        if schedule_step == "after the optimizer":
            schedule.step()
        if is_bad(loss) and if_bad == "stop late":
            raise FloatingPointError
        history.append(log(loss))
    if schedule_step == "at the end":
        schedule.step()
    return history


def changed(**how):
    """Return `epoch` with a keyword changed."""
    return lambda *args: epoch(*args, **how)


def wrong_clips_before_backward(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = total(model(images, targets))
        if not math.isfinite(loss.item()):
            raise FloatingPointError
        optimizer.zero_grad()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append(loss.item())
    return history


def wrong_another_error(model, batches, optimizer, schedule):
    try:
        return train_one_epoch(model, batches, optimizer, schedule)
    except FloatingPointError:
        raise ValueError("the loss is not finite") from None


def wrong_returns_what_it_has(model, batches, optimizer, schedule):
    history = []
    for batch in batches:
        try:
            history += train_one_epoch(model, [batch], optimizer, schedule)
        except FloatingPointError:
            break
    return history


def epoch_clearing_last(model, batches, optimizer, schedule):
    model.train()
    history = []
    for images, targets in batches:
        loss = total(model(images, targets))
        if not math.isfinite(loss.item()):
            raise FloatingPointError
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        history.append(loss.item())
    return history


def wrong_clears_once(model, batches, optimizer, schedule):
    optimizer.zero_grad()
    return epoch(model, batches, optimizer, schedule, zero="never")


def wrong_loss_per_image(model, batches, optimizer, schedule):
    history = []
    for images, targets in batches:
        history += [loss / len(images) for loss in train_one_epoch(model, [(images, targets)], optimizer, schedule)]
    return history


def wrong_only_the_last_loss(model, batches, optimizer, schedule):
    return train_one_epoch(model, batches, optimizer, schedule)[-1:]


def wrong_only_the_first_of_the_losses(model, batches, optimizer, schedule):
    return epoch(model, batches, optimizer, schedule, loss_of=lambda losses: next(iter(losses.values())))


def wrong_mean_of_the_losses(model, batches, optimizer, schedule):
    return epoch(model, batches, optimizer, schedule, loss_of=lambda losses: torch.stack(list(losses.values())).mean())


def wrong_only_nan_is_bad(model, batches, optimizer, schedule):
    return epoch(model, batches, optimizer, schedule, is_bad=torch.isnan)


def wrong_clips_to_1(model, batches, optimizer, schedule):
    return epoch(model, batches, optimizer, schedule, max_norm=1)


def wrong_returns_the_mean(model, batches, optimizer, schedule):
    history = train_one_epoch(model, batches, optimizer, schedule)
    return sum(history) / max(1, len(history))


def right_clears_after_the_step(model, batches, optimizer, schedule):
    model.train(True)
    optimizer.zero_grad(set_to_none=False)
    history = []
    for images, targets in batches:
        losses = model(images, targets)
        values = [loss.item() for loss in losses.values()]
        if not all(map(math.isfinite, values)):
            raise FloatingPointError(f"the losses are {values}")
        torch.autograd.backward(list(losses.values()))
        nn.utils.clip_grad_norm_([weight for weight in model.parameters() if weight.grad is not None], 10.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=False)
        history.append(sum(values))
    return history


EXERCISE = Exercise(
    "train_one_epoch",
    lesson=8,
    minutes=20,
    reference=train_one_epoch,
    cases=cases,
    call=call,
    hints=(
        "“The first step is right, the second is wrong.” backward() adds to the gradients that exist, so clear them once per "
        "step. And the schedule steps after each batch, not after each epoch.",
        "“All is right, except that it doesn't stop.” Check the loss with math.isfinite(loss.item()) before any weight "
        "changes: a weight that is NaN stays NaN. Gradients are clipped between backward() and optimizer.step().",
        "“Nearly there.” model.train(); for each batch: the sum of model(images, targets).values(); raise FloatingPointError "
        "if it is not finite; optimizer.zero_grad(), loss.backward(), nn.utils.clip_grad_norm_(model.parameters(), 10), "
        "optimizer.step(), schedule.step(), and append loss.item().",
    ),
    wrong=(
        Wrong(changed(zero="never"), "gradients are never cleared: each step includes those of all steps before it"),
        Wrong(changed(zero="after backward"), "gradients are cleared between backward and the step: no weight changes"),
        Wrong(changed(train=False), "the model is not switched to training mode"),
        Wrong(
            changed(clip=lambda *_: None),
            "the step uses gradients that are not clipped: clip between backward and the step",
        ),
        Wrong(changed(clip=nn.utils.clip_grad_value_), "each value of the gradients is clipped, instead of their norm"),
        Wrong(changed(schedule_step="never"), "the schedule never steps"),
        Wrong(changed(schedule_step="at the end"), "the schedule steps once per epoch: the warm-up takes epochs"),
        Wrong(
            changed(schedule_step="before the optimizer"),
            "the schedule steps before the optimizer: each learning rate comes a step early",
        ),
        Wrong(changed(if_bad="ignore"), "a loss that is NaN or infinite doesn't stop it, and the weights are lost"),
        Wrong(
            changed(if_bad="stop late"),
            "it stops at a loss that is NaN or infinite, but after the weights have changed",
        ),
        Wrong(changed(if_bad="skip"), "a batch whose loss is NaN or infinite is silently skipped"),
        Wrong(wrong_only_the_first_of_the_losses, "only the first of the losses is used"),
        Wrong(wrong_mean_of_the_losses, "the mean of the losses is used, instead of their sum"),
        Wrong(changed(log=lambda loss: loss), "losses are returned as tensors that hold their graphs: memory fills up"),
        Wrong(wrong_only_the_last_loss, "only the last loss is returned"),
        Wrong(wrong_only_nan_is_bad, "it stops at a loss of NaN, but not at one that is infinite"),
        Wrong(
            changed(is_bad=lambda loss: bool(loss.isnan() | (loss == math.inf))),
            "it stops at NaN and at infinity, but not at minus infinity",
        ),
        Wrong(changed(is_bad=lambda loss: not loss < 1e6), "a loss that is large, but finite, stops it"),
        Wrong(wrong_clips_before_backward),
        Wrong(wrong_clips_to_1, "gradients are clipped to a norm of 1, where it should be 10"),
        Wrong(
            epoch_clearing_last,
            "gradients are cleared after the step only: those left from before go into the first one",
        ),
        Wrong(wrong_clears_once, "gradients are cleared once per epoch, not once per step"),
        Wrong(wrong_another_error, "at a loss that is NaN or infinite it raises another error than FloatingPointError"),
        Wrong(wrong_returns_what_it_has, "at a loss that is NaN or infinite it ends quietly: raise FloatingPointError"),
        Wrong(wrong_returns_the_mean, "it returns the mean of the losses: return a list of them"),
        Wrong(wrong_loss_per_image, "the losses are divided by the number of images"),
    ),
    right=(right_clears_after_the_step,),
)
