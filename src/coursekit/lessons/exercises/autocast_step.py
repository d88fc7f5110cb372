"""Exercise 8.4, `autocast_step`: a training step in mixed precision."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from coursekit.from_scratch.training import autocast_step
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.small_model import SmallModel, draw_batch, without_graphs


def cases(_: torch.Generator) -> Iterator[Case]:
    yield case("bf16, the scaler disabled", "bfloat16", 0.0)
    yield case("bf16, gradients left from before", "bfloat16", 0.0, 1.0, True)
    yield case("bf16, gradients that are clipped", "bfloat16", 0.0, 64.0)
    yield case("fp16, a scale of 256", "float16", 256.0)
    yield case("fp16, losses so small that gradients vanish without the scale", "float16", 2.0**16, 2.0**-20)
    yield case("fp16, gradients that are clipped", "float16", 16.0, 64.0)
    yield case("fp16, gradients left from before", "float16", 256.0, 1.0, True)
    yield case("fp16, a scale at which a gradient is infinite", "float16", 2.0**20)


def call(answer: Answer, dtype: str, scale: float, loss_scale: float = 1.0, gradients_left: bool = False) -> Any:
    """Take a step, and return dtypes, the loss, the weights and the scale. A scale of 0 disables the scaler."""
    model = SmallModel()
    model.loss_scale = loss_scale
    model.set_gradients(float(gradients_left))
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1 / min(1.0, loss_scale))
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale > 0)
    images, targets = draw_batch(4)
    loss = answer(model, images, targets, optimizer, scaler, getattr(torch, dtype))
    return {
        "forward computes in": model.dtypes,
        "weights are": str(model.layer.weight.dtype).removeprefix("torch."),
        "backward is inside autocast": model.autocast_in_backward,
        "loss": without_graphs(loss),
        "weights afterward": model.weights(),
        "scale afterward": scaler.get_scale(),
    }


def step(
    model, images, targets, optimizer, scaler, dtype, *, autocast=lambda dtype: torch.autocast("cpu", dtype),
    clear=True, gradients=("unscale", "clip"), scaler_steps=True, update=True, loss_returned="unscaled",
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    with autocast(dtype):
        loss = torch.stack([loss.float() for loss in model(images, targets).values()]).sum()
    if clear:
        optimizer.zero_grad()
    scaled = scaler.scale(loss)
    scaled.backward()
    for action in gradients:
        if action == "unscale":
            scaler.unscale_(optimizer)
        else:
            nn.utils.clip_grad_norm_(model.parameters(), 10)
    if scaler_steps:
        scaler.step(optimizer)
    else:
        optimizer.step()
    if update:
        scaler.update()
    return {"scaled": scaled.item(), "unscaled": loss.item(), "tensor": loss}[loss_returned]


def changed(**how):
    """Return `step` with a keyword changed."""
    return lambda *args: step(*args, **how)


def no_autocast(dtype):
    return torch.autocast("cpu", enabled=False)


def wrong_no_scaler(model, images, targets, optimizer, scaler, dtype):
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    return autocast_step(model, images, targets, optimizer, disabled, dtype)


def wrong_backward_inside(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        return autocast_step(model, images, targets, optimizer, scaler, dtype)


def wrong_weights_in_16_bits(model, images, targets, optimizer, scaler, dtype):
    model.to(dtype)
    return step(model, images.to(dtype), targets, optimizer, scaler, dtype, autocast=no_autocast)


def wrong_never_unscaled(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
    loss = sum(loss.float() for loss in losses.values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    optimizer.step()
    return loss.item()


def wrong_clips_before_backward(model, images, targets, optimizer, scaler, dtype):
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    return step(model, images, targets, optimizer, scaler, dtype, gradients=("unscale",))


def wrong_clears_after_the_step(model, images, targets, optimizer, scaler, dtype):
    loss = step(model, images, targets, optimizer, scaler, dtype, clear=False)
    optimizer.zero_grad()
    return loss


def wrong_only_the_first_loss(model, images, targets, optimizer, scaler, dtype):
    with patch.object(model, "forward", lambda *args: dict([next(iter(type(model).forward(model, *args).items()))])):
        return autocast_step(model, images, targets, optimizer, scaler, dtype)


def wrong_unscaled_twice(model, images, targets, optimizer, scaler, dtype):
    scale = scaler.get_scale()
    with torch.autocast("cpu", dtype):
        loss = torch.stack([loss.float() for loss in model(images, targets).values()]).sum()
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= scale
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10)
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def wrong_clips_to_1(model, images, targets, optimizer, scaler, dtype):
    with patch.object(nn.utils, "clip_grad_norm_", partial(_clip_to_1, nn.utils.clip_grad_norm_)):
        return step(model, images, targets, optimizer, scaler, dtype)


def _clip_to_1(clip, parameters, max_norm):
    return clip(parameters, 1)


def wrong_returns_none(model, images, targets, optimizer, scaler, dtype):
    autocast_step(model, images, targets, optimizer, scaler, dtype)


def right_with_the_sum_inside(model, images, targets, optimizer, scaler, dtype):
    with torch.autocast(device_type=images[0].device.type, dtype=dtype, enabled=True):
        loss = sum(model(images, targets).values())
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach().float().item()


def right_loss_by_loss(model, images, targets, optimizer, scaler, dtype):
    optimizer.zero_grad()
    with torch.autocast(images.device.type, dtype):
        losses = list(model(images, targets).values())
    torch.autograd.backward([scaler.scale(loss) for loss in losses])
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=10)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return sum(loss.item() for loss in losses)


EXERCISE = Exercise(
    "autocast_step",
    lesson=8,
    minutes=10,
    reference=autocast_step,
    cases=cases,
    call=call,
    tolerance=1e-4,
    hints=(
        "“Forward still computes in float32.” Put `with torch.autocast(device type, dtype):` around model(…) and nothing else: "
        "the weights stay in float32, and backward runs outside.",
        "“bf16 is right, fp16 is wrong.” Call the scaler four times, in this order: scale the loss before backward, unscale_ "
        "the optimizer's gradients, step with the optimizer, update. Clip after unscale_.",
        "“Nearly there.” with torch.autocast(images[0].device.type, dtype): losses = model(images, targets). Sum; "
        "optimizer.zero_grad(); scaler.scale(loss).backward(); scaler.unscale_(optimizer); clip_grad_norm_(…, 10); "
        "scaler.step(optimizer); scaler.update(); return loss.item().",
    ),
    wrong=(
        Wrong(changed(autocast=no_autocast), "there is no autocast: everything is computed in float32"),
        Wrong(
            changed(autocast=lambda _: torch.autocast("cpu", torch.bfloat16)), "it is always bf16, whatever `dtype` is"
        ),
        Wrong(wrong_weights_in_16_bits, "the weights themselves are in 16 bits: small steps are lost to rounding"),
        Wrong(wrong_backward_inside, "backward runs inside autocast, too"),
        Wrong(wrong_no_scaler, "the scaler is not used: small gradients vanish, and infinite ones reach the weights"),
        Wrong(changed(gradients=("clip", "unscale")), "gradients are clipped before they are unscaled"),
        Wrong(
            changed(gradients=("unscale",)),
            "the step uses gradients that are not clipped: clip between unscale_ and step",
        ),
        Wrong(
            changed(scaler_steps=False), "the optimizer steps without the scaler: infinite gradients are not skipped"
        ),
        Wrong(changed(update=False), "the scale is never updated: after an infinite gradient it stays too large"),
        Wrong(changed(clear=False), "gradients left from before are not cleared: clear them before backward"),
        Wrong(changed(loss_returned="scaled"), "it returns the scaled loss"),
        Wrong(wrong_never_unscaled, "gradients are scaled, but never unscaled: the step is far too long"),
        Wrong(wrong_clips_before_backward),
        Wrong(wrong_clears_after_the_step),
        Wrong(changed(loss_returned="tensor"), "it returns a tensor that holds its graph"),
        Wrong(wrong_only_the_first_loss, "only the first of the losses is used"),
        Wrong(wrong_unscaled_twice, "the gradients are divided by the scale twice"),
        Wrong(wrong_clips_to_1, "gradients are clipped to a norm of 1, where it should be 10"),
        Wrong(wrong_returns_none, "it returns nothing"),
    ),
    right=(right_with_the_sum_inside, right_loss_by_loss),
)
