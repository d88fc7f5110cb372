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
    if special in ("nan", "inf"):
        batches[len(batches) // 2][1][0]["value"] = float(special)
    stopped, history = "", None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where the schedule steps before the optimizer
        try:
            history = answer(model, iter(batches), optimizer, schedule)
        except FloatingPointError:
            stopped = "by a FloatingPointError"
    return {
        "mode of the model": "training" if set(model.modes) <= {"t"} else "eval",
        "losses": without_graphs(history),
        "learning rate of each step": rates,
        "weights afterward": model.weights(),
        "stopped": stopped,
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
        Wrong(changed(clip=lambda *_: None), "gradients are not clipped"),
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
        Wrong(wrong_only_nan_is_bad),
        Wrong(wrong_clips_to_1),
        Wrong(wrong_returns_the_mean),
    ),
    right=(right_clears_after_the_step,),
)
