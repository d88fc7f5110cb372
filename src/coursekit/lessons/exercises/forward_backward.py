"""Exercise 8.4, `forward_backward`: forward in 16 bits, backward with a scaled loss."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from coursekit.from_scratch.real_step import forward_backward
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.recording_model import SmallModel, draw_batch, total, without_graphs

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("fp32", "fp32")
    yield case("fp32, gradients there before", "fp32", 0.0, 1.0, 1.0)
    yield case("fp32, a weight of 0.25", "fp32", 0.0, 0.25)
    yield case("bf16, the scaler disabled", "bf16")
    yield case("bf16, a weight of 0.5 and gradients there before", "bf16", 0.0, 0.5, 1.0)
    yield case("fp16, a scale of 256", "fp16", 256.0)
    yield case("fp16, a scale of 16 and a weight of 0.25", "fp16", 16.0, 0.25)
    yield case("fp16, gradients there before", "fp16", 256.0, 1.0, 64.0)
    yield case("fp16, losses so small that gradients vanish without the scale", "fp16", 2.0**16, 1.0, 0.0, 2.0**-20)


def call(
    answer: Answer,
    precision: str,
    scale: float = 0.0,
    weight: float = 1.0,
    gradients_before: float = 0.0,
    loss_scale: float = 1.0,
) -> Any:
    """Run forward and backward, and return dtypes, losses and gradients. A scale of 0 disables the scaler."""
    model = SmallModel()
    model.loss_scale = loss_scale
    model.set_gradients(gradients_before)
    before = model.weights()
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale > 0)
    weights = () if weight == 1 else (weight,)
    losses = answer(model, *draw_batch(4), scaler, DTYPES[precision], *weights)
    return {
        "forward computes in": model.dtypes,
        "weights are": str(model.layer.weight.dtype).removeprefix("torch."),
        "backward is inside autocast": model.autocast_in_backward,
        "losses, relative to those of a step": _relative(losses, loss_scale),
        "gradients": model.gradients(),
        "weights changed": not torch.equal(before, model.weights()),
        "scale afterward": scaler.get_scale(),
    }


def _relative(losses: Any, loss_scale: float) -> Any:
    """Return losses divided by their scale, so that small ones are compared as exactly as others."""
    losses = without_graphs(losses)
    if not isinstance(losses, dict):
        return losses
    return {name: loss / loss_scale if isinstance(loss, float) else loss for name, loss in losses.items()}


def run(
    model, images, targets, scaler, dtype, weight=1.0, *, autocast=lambda dtype: torch.autocast("cpu", dtype),
    clear=False, weigh=lambda loss, weight: loss * weight, loss_of=total, value=lambda loss, scaler, weight: loss.item(),
    after=lambda model, scale: None,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    with autocast(dtype) if dtype != torch.float32 else no_autocast(dtype):
        losses = model(images, targets)
    if clear:
        model.zero_grad()
    loss = loss_of({name: loss.float() for name, loss in losses.items()})
    scaler.scale(weigh(loss, weight)).backward()
    after(model, scaler.get_scale())
    return {name: value(loss, scaler, weight) for name, loss in losses.items()}


def changed(**how):
    """Return `run` with a keyword changed."""
    return lambda *args: run(*args, **how)


def no_autocast(dtype):
    return torch.autocast("cpu", enabled=False)


def unscale(model, scale):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= scale


def clip(model, scale):
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)


def move(model, scale):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad


def wrong_no_scaler(model, images, targets, scaler, dtype, weight=1.0):
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    return forward_backward(model, images, targets, disabled, dtype, weight)


def wrong_backward_inside(model, images, targets, scaler, dtype, weight=1.0):
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return forward_backward(model, images, targets, scaler, dtype, weight)


def wrong_weights_in_16_bits(model, images, targets, scaler, dtype, weight=1.0):
    model.to(dtype)
    return run(model, images.to(dtype), targets, scaler, dtype, weight, autocast=no_autocast)


def wrong_returns_the_sum(*args):
    return sum(forward_backward(*args).values())


def wrong_returns_nothing(*args):
    forward_backward(*args)


def wrong_updates_the_scale(model, images, targets, scaler, dtype, weight=1.0):
    losses = forward_backward(model, images, targets, scaler, dtype, weight)
    scaler.update(scaler.get_scale() / 2 if scaler.is_enabled() else None)
    return losses


def wrong_gradients_replaced(model, images, targets, scaler, dtype, weight=1.0):
    with patch.object(torch.Tensor, "backward", lambda loss: None):
        losses = forward_backward(model, images, targets, scaler, dtype, weight)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = total({name: loss.float() for name, loss in model(images, targets).items()})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter, gradient in zip(trained, torch.autograd.grad(scaler.scale(loss * weight), trained)):
        parameter.grad = gradient
    return losses


def right_with_the_sum_inside(model, images, targets, scaler, dtype, weight=1.0):
    with torch.autocast(device_type=images[0].device.type, dtype=dtype):
        losses = model(images, targets)
        loss = sum(losses.values()).float()
    scaler.scale(weight * loss).backward()
    return {name: losses[name].detach().float().item() for name in losses}


def right_loss_by_loss(model, images, targets, scaler, dtype, weight=1):
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
        losses = dict(model(images, targets))
    torch.autograd.backward([scaler.scale(loss) * weight for loss in losses.values()])
    return {name: float(loss) for name, loss in losses.items()}


EXERCISE = Exercise(
    "forward_backward",
    lesson=8,
    minutes=18,
    reference=forward_backward,
    cases=cases,
    call=call,
    tolerance=1e-4,
    hints=(
        "“Forward still computes in float32.” Put `with torch.autocast(device type, dtype):` around model(…) and nothing "
        "else: the weights stay in float32, and backward runs outside.",
        "“bf16 is right, fp16 is wrong.” scaler.scale(…) multiplies the loss before backward(). Leave the gradients as they "
        "come out: unscaling, clipping and the update belong to the step, which comes later.",
        "“Nearly there.” with torch.autocast(images[0].device.type, dtype): losses = model(images, targets). Then "
        "scaler.scale(their sum * weight).backward(), and return each loss as loss.item(), by its name.",
    ),
    wrong=(
        Wrong(changed(autocast=no_autocast), "there is no autocast: everything is computed in float32"),
        Wrong(
            changed(autocast=lambda _: torch.autocast("cpu", torch.bfloat16)), "it is always bf16, whatever `dtype` is"
        ),
        Wrong(wrong_weights_in_16_bits, "the weights themselves are in 16 bits: small steps are lost to rounding"),
        Wrong(wrong_backward_inside, "backward runs inside autocast, too"),
        Wrong(wrong_no_scaler, "the scaler is not used: small gradients vanish in fp16"),
        Wrong(changed(clear=True), "the gradients that were there are cleared: add to them"),
        Wrong(wrong_gradients_replaced, "the gradients that were there are replaced: add to them"),
        Wrong(changed(weigh=lambda loss, weight: loss), "`weight` is not used"),
        Wrong(changed(weigh=lambda loss, weight: loss / weight), "the gradient is divided by `weight`"),
        Wrong(
            changed(value=lambda loss, scaler, weight: loss.item() * weight),
            "the losses that it returns are weighted: only the gradient should be",
        ),
        Wrong(
            changed(value=lambda loss, scaler, weight: loss.item() * scaler.get_scale()),
            "the losses that it returns are scaled: only the gradient should be",
        ),
        Wrong(changed(value=lambda loss, *_: loss), "the losses are tensors that hold their graphs"),
        Wrong(
            changed(after=unscale), "the gradients are divided by the scale here: that is the task of unscale_, later"
        ),
        Wrong(changed(after=clip), "the gradients are clipped here: the step does that once, for the whole batch"),
        Wrong(changed(after=move), "the weights change: that is the optimizer's task"),
        Wrong(
            changed(loss_of=lambda losses: next(iter(losses.values()))),
            "backward starts from the first of the losses only",
        ),
        Wrong(
            changed(loss_of=lambda losses: torch.stack(list(losses.values())).mean()),
            "the mean of the losses is used, instead of their sum",
        ),
        Wrong(wrong_returns_the_sum, "it returns one number, where it should be a loss for each name"),
        Wrong(wrong_returns_nothing, "it returns nothing"),
        Wrong(wrong_updates_the_scale, "the scale changes: the step updates it, once"),
    ),
    right=(right_with_the_sum_inside, right_loss_by_loss),
)
