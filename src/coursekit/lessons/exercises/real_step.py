"""Exercise 8.7, `real_step`: one training step on a small card, put together."""

import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from coursekit.from_scratch.real_step import accumulate, forward_backward, halve_on_oom, real_step
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import SmallModel, TooManyCallsError, draw_batch, total, without_graphs

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH, ALL = 5, 8  # images, and a micro-batch that holds them all
DEFAULTS: dict[str, Any] = {
    "scale": 0.0, "loss_scale": 1.0, "max_norm": 10.0, "memory": math.inf, "gradients_before": 0.0, "special": "",
    "steps": 1,
}  # fmt: skip


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("fp32, all images at once", "fp32", ALL, {})
    yield case("fp32, two images at a time, the last one alone", "fp32", 2, {})
    yield case("fp32, gradients left from before", "fp32", 2, {"gradients_before": 1.0})
    yield case("fp32, gradients that are clipped", "fp32", 2, {"loss_scale": 1000.0})
    yield case("fp32, gradients clipped to a norm of 1", "fp32", 3, {"loss_scale": 1000.0, "max_norm": 1.0})
    yield case("bf16, the scaler disabled", "bf16", 2, {})
    yield case("fp16, a scale of 256", "fp16", 2, {"scale": 256.0})
    yield case("fp16, gradients that are clipped", "fp16", 3, {"scale": 16.0, "loss_scale": 64.0})
    yield case("fp16, losses so small that gradients vanish without the scale", "fp16", 3, _SMALL)
    yield case("fp16, a scale at which a gradient is infinite", "fp16", 2, {"scale": 2.0**20})
    yield case("fp16, the same, and two more steps", "fp16", 2, {"scale": 2.0**20, "steps": 3})
    yield case("memory for two of five images", "fp32", ALL, {"memory": 2})
    yield case(
        "memory for one image, and gradients left from before", "fp32", 4, {"memory": 1, "gradients_before": 1.0}
    )
    yield case("not enough memory for one image", "fp32", 2, {"memory": 0})
    yield case("three steps, the first of which runs out of memory", "fp32", ALL, {"memory": 2, "steps": 3})
    yield case("a loss of NaN in the second micro-batch", "fp32", 2, {"special": "nan"})
    yield case("an infinite loss in the second micro-batch, fp16", "fp16", 2, {"special": "inf", "scale": 16.0})


_SMALL = {"scale": 2.0**16, "loss_scale": 2.0**-20}


def call(answer: Answer, precision: str, micro_batch: int, settings: dict[str, Any]) -> Any:
    """Take steps, and return losses, the micro-batch, weights and the scale. A scale of 0 disables the scaler."""
    how = DEFAULTS | settings
    model, gradients = SmallModel(), list[torch.Tensor]()
    model.loss_scale, model.memory = how["loss_scale"], how["memory"]
    model.special, model.special_call = how["special"], 2 if how["special"] else 0
    model.set_gradients(how["gradients_before"])
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1 / min(1.0, how["loss_scale"]), momentum=0.5)
    optimizer.register_step_pre_hook(lambda *_: gradients.append(model.gradients()))
    scaler = torch.amp.GradScaler("cpu", init_scale=how["scale"] or 1.0, enabled=how["scale"] > 0)
    norm = {} if how["max_norm"] == 10 else {"max_norm": how["max_norm"]}
    raised, returned = "nothing", []
    try:
        for number in range(how["steps"]):
            batch = draw_batch(BATCH, number)
            returned.append(answer(model, *batch, optimizer, scaler, DTYPES[precision], micro_batch, **norm))
            micro_batch = returned[-1][1]
    except FloatingPointError:
        raised = "a FloatingPointError"
    except torch.OutOfMemoryError:
        raised = "a torch.OutOfMemoryError"
    except TooManyCallsError:
        raised = "nothing, and it never ends"
    except (TypeError, IndexError, KeyError):
        raised = "nothing, and returns no pair of losses and a micro-batch"
    return {
        "raises": raised,
        "losses and micro-batch of each step": without_graphs(returned),
        "forward computes in": sorted(set(model.dtypes)),
        "most images at a time": model.largest_batch,
        "most micro-batches in memory at once": model.most_in_memory,
        "gradients of each step of the optimizer": gradients,
        "weights afterward": model.weights(),
        "scale afterward": scaler.get_scale(),
    }


def run(
    model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10, *, clear=True, weigh=lambda weight: weight,
    after_backward=("unscale", "clip", "step", "update"), is_bad=lambda losses: not math.isfinite(sum(losses.values())),
    if_bad="stop", backward_with=forward_backward,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""

    def backward(images, targets, weight):
        return backward_with(model, images, targets, scaler, dtype, weigh(weight))

    def attempt(size):
        return accumulate(backward, images, targets, size)

    losses, micro_batch = halve_on_oom(attempt, optimizer.zero_grad if clear else lambda: None, micro_batch)
    if is_bad(losses) and if_bad == "stop":
        raise FloatingPointError
    if is_bad(losses) and if_bad == "skip":
        return losses, micro_batch
    actions = {
        "unscale": lambda: scaler.unscale_(optimizer),
        "clip": lambda: nn.utils.clip_grad_norm_(model.parameters(), max_norm),
        "clip values": lambda: nn.utils.clip_grad_value_(model.parameters(), max_norm),
        "clip to 10": lambda: nn.utils.clip_grad_norm_(model.parameters(), 10),
        "step": lambda: scaler.step(optimizer),
        "optimizer steps": optimizer.step,
        "update": scaler.update,
        "stop if an infinite gradient": lambda: stop_if_infinite(model),
    }
    for action in after_backward:
        actions[action]()
    if is_bad(losses) and if_bad == "stop late":
        raise FloatingPointError
    return losses, micro_batch


def stop_if_infinite(model):
    if not model.gradients().isfinite().all():
        raise FloatingPointError("a gradient is infinite")


def changed(**how):
    """Return `run` with a keyword changed."""
    return lambda *args, **kwargs: run(*args, **kwargs, **how)


def wrong_no_scaler(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    return real_step(model, images, targets, optimizer, disabled, dtype, micro_batch, max_norm)


def wrong_always_bf16(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    return real_step(model, images, targets, optimizer, scaler, torch.bfloat16, micro_batch, max_norm)


def wrong_all_at_once(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    return real_step(model, images, targets, optimizer, scaler, dtype, len(images), max_norm)


def wrong_first_micro_batch(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    losses, _ = real_step(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm)
    return losses, micro_batch


def wrong_only_losses(*args, **kwargs):
    return real_step(*args, **kwargs)[0]


def wrong_swapped(*args, **kwargs):
    losses, micro_batch = real_step(*args, **kwargs)
    return micro_batch, losses


def wrong_no_halving(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    with patch.dict(globals(), halve_on_oom=_once):
        return run(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm)


def _once(attempt, clear, micro_batch):
    clear()
    return attempt(micro_batch), micro_batch


def wrong_steps_in_each_micro_batch(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    def backward(images, targets, weight):
        losses = forward_backward(model, images, targets, scaler, dtype, weight)
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return losses

    return halve_on_oom(lambda size: accumulate(backward, images, targets, size), optimizer.zero_grad, micro_batch)


def wrong_clips_each_micro_batch(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    def backward_with(*args):
        losses = forward_backward(*args)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return losses

    return run(
        model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm, backward_with=backward_with,
        after_backward=("unscale", "step", "update"),
    )  # fmt: skip


def wrong_backward_at_the_end(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    waiting = []

    def forward_only(model, images, targets, scaler, dtype, weight):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            losses = model(images, targets)
        waiting.append(total({name: loss.float() for name, loss in losses.items()}) * weight)
        return {name: loss.item() for name, loss in losses.items()}

    def attempt(size):
        waiting.clear()
        losses = accumulate(lambda *args: forward_only(model, *args[:2], scaler, dtype, args[2]), images, targets, size)
        scaler.scale(torch.stack(waiting).sum()).backward()
        return losses

    losses, micro_batch = halve_on_oom(attempt, optimizer.zero_grad, micro_batch)
    if not math.isfinite(sum(losses.values())):
        raise FloatingPointError
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
    return losses, micro_batch


def wrong_another_error(*args, **kwargs):
    try:
        return real_step(*args, **kwargs)
    except FloatingPointError:
        raise ValueError("the loss is not finite") from None


def right_in_one_piece(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10):
    def attempt(size):
        return accumulate(
            lambda few, its_targets, weight: forward_backward(model, few, its_targets, scaler, dtype, weight),
            images,
            targets,
            size,
        )

    losses, micro_batch = halve_on_oom(attempt, lambda: optimizer.zero_grad(set_to_none=True), micro_batch)
    if any(not math.isfinite(loss) for loss in losses.values()):
        raise FloatingPointError(losses)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_([weight for weight in model.parameters() if weight.requires_grad], max_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return dict(losses), micro_batch


def right_that_stops_in_backward(model, images, targets, optimizer, scaler, dtype, micro_batch, max_norm=10.0):
    def backward(images, targets, weight):
        losses = forward_backward(model, images, targets, scaler, dtype, weight)
        if not math.isfinite(sum(losses.values())):
            raise FloatingPointError("stopped")
        return losses

    result = halve_on_oom(lambda size: accumulate(backward, images, targets, size), model.zero_grad, micro_batch)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
    scaler.step(optimizer)
    scaler.update()
    return result


EXERCISE = Exercise(
    "real_step",
    lesson=8,
    minutes=20,
    reference=real_step,
    cases=cases,
    call=call,
    tolerance=1e-4,
    hints=(
        "“I don't see how they fit together.” Each function takes the next one down as an argument. halve_on_oom wants an "
        "attempt(micro_batch), accumulate wants a backward(images, targets, weight). Define both inside real_step, where they "
        "can see model, scaler and dtype.",
        "“fp16 is wrong, the rest is right.” After the gradients are complete, four calls in this order: unscale_, clip, "
        "scaler.step(optimizer), update. An infinite gradient needs no code of yours: scaler.step skips it. What stops the "
        "run is a loss that isn't finite, and that you ask before the four calls.",
        "“Nearly there.” def backward(images, targets, weight): return forward_backward(model, …, weight). def "
        "attempt(size): return accumulate(backward, images, targets, size). losses, micro_batch = halve_on_oom(attempt, "
        "optimizer.zero_grad, micro_batch). Raise FloatingPointError if the sum of the losses isn't finite; then the four "
        "calls; return losses, micro_batch.",
    ),
    wrong=(
        Wrong(
            changed(after_backward=("clip", "unscale", "step", "update")),
            "gradients are clipped before they are unscaled",
        ),
        Wrong(
            changed(after_backward=("unscale", "step", "update")),
            "the step uses gradients that are not clipped: clip between unscale_ and step",
        ),
        Wrong(
            changed(after_backward=("clip", "optimizer steps")),
            "gradients are scaled, but never unscaled: the step is far too long",
        ),
        Wrong(
            changed(after_backward=("unscale", "clip", "optimizer steps", "update")),
            "the optimizer steps without the scaler: infinite gradients are not skipped",
        ),
        Wrong(
            changed(after_backward=("unscale", "clip", "step")),
            "the scale is never updated: after an infinite gradient it stays too large",
        ),
        Wrong(
            changed(after_backward=("unscale", "clip", "update")),
            "the weights don't change: the optimizer takes no step",
        ),
        Wrong(
            changed(after_backward=("unscale", "clip to 10", "step", "update")),
            "it clips to 10, whatever `max_norm` is",
        ),
        Wrong(
            changed(after_backward=("unscale", "clip values", "step", "update")),
            "each value of the gradients is clipped, instead of their norm",
        ),
        Wrong(
            changed(after_backward=("unscale", "stop if an infinite gradient", "clip", "step", "update")),
            "an infinite gradient stops it: in fp16 that is normal, and the scaler skips the step",
        ),
        Wrong(changed(if_bad="ignore"), "a loss that is NaN or infinite doesn't stop it"),
        Wrong(
            changed(if_bad="stop late"),
            "it stops at a loss that is NaN or infinite, but after the weights have changed",
        ),
        Wrong(changed(if_bad="skip"), "a batch whose loss is NaN or infinite is silently skipped"),
        Wrong(
            changed(is_bad=lambda losses: math.isnan(sum(losses.values()))),
            "it stops at a loss of NaN, but not at one that is infinite",
        ),
        Wrong(changed(clear=False), "gradients are never cleared"),
        Wrong(changed(weigh=lambda weight: 1.0), "the weight of a micro-batch doesn't reach forward_backward"),
        Wrong(wrong_no_scaler, "the scaler is not used: small gradients vanish, and infinite ones reach the weights"),
        Wrong(wrong_always_bf16, "it is always bf16, whatever `dtype` is"),
        Wrong(wrong_all_at_once, "all images go through at once: `micro_batch` is not used"),
        Wrong(wrong_no_halving, "running out of memory ends it: halve_on_oom isn't used"),
        Wrong(wrong_first_micro_batch, "it returns the micro-batch that it was given, not the one that fit"),
        Wrong(wrong_only_losses, "the micro-batch is not returned"),
        Wrong(wrong_swapped, "the micro-batch comes first: the losses should"),
        Wrong(wrong_steps_in_each_micro_batch, "the optimizer steps after each micro-batch, not once for the batch"),
        Wrong(wrong_clips_each_micro_batch, "gradients are clipped after each micro-batch, not once for the batch"),
        Wrong(wrong_backward_at_the_end, "backward runs once at the end: all micro-batches are in memory until then"),
        Wrong(wrong_another_error, "at a loss that is NaN or infinite it raises another error than FloatingPointError"),
    ),
    right=(right_in_one_piece, right_that_stops_in_backward),
)
