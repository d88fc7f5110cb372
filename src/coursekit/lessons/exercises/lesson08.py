"""08 · Training.

Answers are tried on a model of two dozen weights that notes what is done to it, with a clock and a memory of its own.
"""

import io
import math
import os
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from coursekit.from_scratch.training import (
    CLIP_NORM,
    accumulate,
    autocast_step,
    halve_on_oom,
    save_and_resume,
    time_step,
    train_one_epoch,
)
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.training.optimizer import warmup_cosine

Losses = dict[str, Tensor]


class _Noted(torch.autograd.Function):
    """The identity; calls something when backward comes by."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, call: Callable[[], None]) -> Tensor:
        ctx.call = call
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.call()
        return gradients[0], None


class _TooOftenError(BaseException):
    """No Exception, which answers catch."""


class Small(nn.Module):
    """Gives two losses, means over the images, and notes what happens to it.

    Attributes:
        limit: what the images of a call may cost together; one costs what its target says, else 1.
        graphs, most: forwards whose backward has not come yet; the most there were.
        calls, largest: so many forwards; the most images in one.
        scale: of the losses.
        held: whether tensors of a forward that failed were still there at a later one.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.still = nn.Parameter(torch.ones(2), requires_grad=False)
        with torch.no_grad():
            for one in self.layer.parameters():
                one.copy_(torch.randn(one.shape, generator=generator))
        self.limit, self.scale, self.graphs, self.most, self.calls = math.inf, 1.0, 0, 0, 0
        self.largest, self.held, self.modes = 0, False, ""
        self.failed: Any = None
        self.dtypes: list[str] = []
        self.backward_cast: list[bool] = []
        self.on_forward: Callable[[], None] = lambda: None
        self.on_backward: Callable[[], None] = lambda: None

    def forward(self, images: Any, targets: Sequence[dict[str, Any]]) -> Losses:
        """(B, 3) images and B targets with a "value" → two losses."""
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images and {len(targets)} targets")
        self.calls, self.largest = self.calls + 1, max(self.largest, len(images))
        if self.calls > 40:
            raise _TooOftenError
        self.held |= self.failed is not None and self.failed() is not None
        self.modes += "t" if self.training else "e"
        self.on_forward()
        images = images if isinstance(images, Tensor) else torch.stack(list(images))
        said = self.layer(images) * self.still
        self.dtypes.append(str(said.dtype).removeprefix("torch."))
        cost = sum(target.get("cost", 1) for target in targets)
        if cost < 0:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if cost > self.limit:
            self.failed = weakref.ref(said)
            raise torch.OutOfMemoryError(f"{cost:g} are asked for, and {self.limit:g} are free")
        self.graphs += 1
        self.most = max(self.most, self.graphs)
        said = _Noted.apply(said, self._came_back)
        value = torch.tensor([target["value"] for target in targets])
        return {
            "loss_near": (said[:, 0] - value).square().mean() * self.scale,
            "loss_far": (said[:, 1] * value).tanh().add(1.5).mean() * self.scale,
        }

    def _came_back(self) -> None:
        self.graphs -= 1
        self.backward_cast.append(torch.is_autocast_enabled("cpu"))
        self.on_backward()

    def weights(self) -> Tensor:
        """All in one row."""
        return torch.cat([one.detach().flatten() for one in self.layer.parameters()])

    def gradients(self) -> Tensor:
        """All in one row."""
        return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                          for p in self.layer.parameters()])  # fmt: skip


def _batch(count: int, seed: int = 0) -> tuple[Tensor, list[dict[str, Any]]]:
    generator = torch.Generator().manual_seed(100 * seed + count)
    images, values = torch.randn(count, 3, generator=generator), torch.randn(count, generator=generator)
    return images, [{"value": one} for one in values.tolist()]


def _numbers(value: Any) -> Any:
    """Floats as they are; of a tensor that still holds its graph, that it does."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(one) for one in value]
    if isinstance(value, Tensor):
        return "a tensor that still holds its graph" if value.requires_grad else value
    return value


def _total(losses: Losses) -> Tensor:
    return torch.stack(list(losses.values())).sum()


# warmup_cosine


def _warmup_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("the first step, without warm-up", 0, 10, 0)
    yield case("the first step, which should move, too", 0, 10, 1)
    yield case("a step of the warm-up", 2, 20, 4)
    yield case("the last step of the warm-up", 3, 20, 4)
    yield case("the first step behind it", 4, 20, 4)
    yield case("half of the rest", 12, 20, 4)
    yield case("a quarter of the rest", 8, 20, 4)
    yield case("the end", 20, 20, 4)
    yield case("a step beyond the end", 26, 20, 4)
    yield case("nothing but warm-up", 3, 4, 4)
    yield case("nothing but warm-up, at its end", 4, 4, 4)


def _cosine(share: float) -> float:
    return 0.5 + 0.5 * math.cos(math.pi * share)


def _changed_warmup(
    *, first: int = 1, more: int = 1, whole: bool = False, clamp: bool = True, curve: Callable[[float], float] = _cosine
) -> Answer:
    def changed(step: int, total: int, warmup: int) -> float:
        if step < warmup:
            return (step + first) / (warmup + more)
        share = step / total if whole else (step - warmup) / max(1, total - warmup)
        return curve(min(1.0, share) if clamp else share)

    return changed


def _no_warmup(step: int, total: int, warmup: int) -> float:
    return warmup_cosine(step, total, 0)


def _divides_by_nothing(step: int, total: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return _cosine(min(1.0, (step - warmup) / (total - warmup)))


def _one_too_late(step: int, total: int, warmup: int) -> float:
    return (step + 1) / (warmup + 1) if step <= warmup else warmup_cosine(step, total, warmup)


WARMUP = Exercise(
    "warmup_cosine",
    lesson=8,
    minutes=10,
    reference=warmup_cosine,
    cases=_warmup_cases,
    library=("transformers.get_cosine_schedule_with_warmup", "timm.scheduler.CosineLRScheduler"),
    hints=(
        "“My first step stands still.” With step / warmup, step 0 gets a rate of 0. Count the steps from 1, and mind that the "
        "full rate comes right behind the last step of the warm-up.",
        "“It is right up to the top, and then not.” The cosine begins where the warm-up ends: its share of the way is (step - "
        "warmup) / (total - warmup), from 0 to 1. Beyond the end it stays 1, and total may be equal to warmup.",
        "“Nearly there.” if step < warmup: return (step + 1) / (warmup + 1). Then share = min(1, (step - warmup) / max(1, total - "
        "warmup)), and 0.5 + 0.5 · cos(π · share).",
    ),
    mistakes=(
        Mistake("step 0 has a rate of 0: a step that does nothing", _changed_warmup(first=0, more=0)),
        Mistake("the full rate comes a step early: the last step of the warm-up has it", _changed_warmup(more=0)),
        Mistake("the cosine counts from step 0, not from the end of the warm-up: the rate jumps", _changed_warmup(whole=True)),
        Mistake("beyond the end the rate rises again", _changed_warmup(clamp=False)),
        Mistake("it falls to -1: the cosine is neither halved nor lifted", _changed_warmup(curve=lambda s: math.cos(math.pi * s))),
        Mistake("a quarter of a cosine: it falls slowly first and steeply at the end", _changed_warmup(curve=lambda s: math.cos(math.pi / 2 * s))),
        Mistake("it falls in a line, not along a cosine", _changed_warmup(curve=lambda s: 1 - s)),
        Mistake("there is no warm-up", _no_warmup),
        Mistake("it divides by 0 where all steps are warm-up", _divides_by_nothing),
    ),
)  # fmt: skip


# train_one_epoch


def _epoch_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("no batch", [])
    yield case("one batch of one image", [1])
    yield case("one batch, with gradients left from before", [2], 1.0, True)
    yield case("two batches", [2, 3])
    yield case("a model that was in eval mode", [2], 1.0, False, "eval")
    yield case("a model with losses so large that gradients are clipped", [4], 1000.0)
    yield case("six batches, the rate follows its schedule", [2, 2, 3, 1, 4, 2])
    yield case("a loss of NaN in the third batch of four", [2, 2, 2, 2], 1.0, False, "nan")
    yield case("a loss that is infinite in the second batch", [2, 2, 2], 1.0, False, "inf")


def _use_epoch(
    answer: Answer, batch_sizes: list[int], loss_scale: float = 1.0, gradients_left: bool = False, special: str = ""
) -> Any:
    """Losses, rates of the steps, the weights afterwards, and whether it stopped at a loss that is no number."""
    model, rates = Small(), list[float]()
    model.scale = loss_scale
    model.train(special != "eval")
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.5)
    optimizer.register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmup_cosine, total=6, warmup=2))
    if gradients_left:
        for one in model.layer.parameters():
            one.grad = torch.ones_like(one)
    batches = [_batch(size, number) for number, size in enumerate(batch_sizes)]
    if special in ("nan", "inf"):
        batches[len(batches) // 2][1][0]["value"] = float(special)
    stopped, history = "", None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, where the schedule is told too early
        try:
            history = answer(model, iter(batches), optimizer, schedule)
        except FloatingPointError:
            stopped = "by a FloatingPointError"
    return {
        "mode of the model": "training" if set(model.modes) <= {"t"} else "eval",
        "losses": _numbers(history),
        "rate of each step": rates,
        "weights afterwards": model.weights(),
        "stopped": stopped,
        "rate of the next step": optimizer.param_groups[0]["lr"],
    }


def _epoch(
    *,
    mode: bool = True,
    zero: str = "before",
    clip: Callable[..., Any] | None = nn.utils.clip_grad_norm_,
    schedule_at: str = "after",
    stop: str = "before",
    loss_of: Callable[[Losses], Tensor] = _total,
    note: Callable[[Tensor], Any] = lambda loss: loss.item(),
) -> Answer:
    """The reference with one thing changed."""

    def changed(model: Any, batches: Any, optimizer: Any, schedule: Any) -> Any:
        model.train(mode or model.training)
        history: list[Any] = []
        for images, targets in batches:
            loss = loss_of(model(images, targets))
            if stop == "before" and not math.isfinite(loss.item()):
                raise FloatingPointError
            if stop == "skip" and not math.isfinite(loss.item()):
                continue
            if zero == "before":
                optimizer.zero_grad()
            loss.backward()
            if zero == "behind":
                optimizer.zero_grad()
            if clip:
                clip(model.parameters(), CLIP_NORM)
            if schedule_at == "before":
                schedule.step()
            optimizer.step()
            if schedule_at == "after":
                schedule.step()
            if stop == "after" and not math.isfinite(loss.item()):
                raise FloatingPointError
            history.append(note(loss))
        if schedule_at == "end":
            schedule.step()
        return history

    return changed


def _last_loss_only(model: Any, batches: Any, optimizer: Any, schedule: Any) -> Any:
    return train_one_epoch(model, batches, optimizer, schedule)[-1:]


def _mean_of_losses(losses: Losses) -> Tensor:
    return torch.stack(list(losses.values())).mean()


EPOCH = Exercise(
    "train_one_epoch",
    lesson=8,
    minutes=20,
    reference=train_one_epoch,
    cases=_epoch_cases,
    call=_use_epoch,
    hints=(
        "“The first step is right, the second is not.” backward() adds to the gradients that are there. And the schedule is "
        "told after each step, not after each epoch.",
        "“It is right, and yet it does not stop.” Ask the loss whether it is finite before anything moves: "
        "math.isfinite(loss.item()). A weight that has once become NaN never gets well. Where gradients are clipped, it is "
        "between backward() and the optimizer's step.",
        "“Nearly there.” model.train(); for each batch: the sum of model(images, targets).values(); raise FloatingPointError "
        "if it is not finite; optimizer.zero_grad(), loss.backward(), nn.utils.clip_grad_norm_(model.parameters(), 10), "
        "optimizer.step(), schedule.step(), and append loss.item().",
    ),
    mistakes=(
        Mistake("gradients are never cleared: each step drags those before it along", _epoch(zero="never")),
        Mistake("gradients are cleared between backward and the step: nothing moves", _epoch(zero="behind")),
        Mistake("the model is not switched into training mode", _epoch(mode=False)),
        Mistake("gradients are not clipped", _epoch(clip=None)),
        Mistake("each number of the gradients is clipped, where their norm is meant", _epoch(clip=nn.utils.clip_grad_value_)),
        Mistake("the schedule is never told of a step", _epoch(schedule_at="never")),
        Mistake("the schedule is told once an epoch: the warm-up takes epochs", _epoch(schedule_at="end")),
        Mistake("the schedule is told before the optimizer's step: all rates are a step early", _epoch(schedule_at="before")),
        Mistake("a loss that is no number doesn't stop it, and the weights are lost", _epoch(stop="never")),
        Mistake("it stops at a loss that is no number, but after the weights have moved", _epoch(stop="after")),
        Mistake("a loss that is no number is passed over in silence", _epoch(stop="skip")),
        Mistake("only the first of the losses is learned from", _epoch(loss_of=lambda losses: next(iter(losses.values())))),
        Mistake("the mean of the losses is taken, where their sum is meant", _epoch(loss_of=_mean_of_losses)),
        Mistake("losses are kept as tensors with all that hangs on them: memory fills up", _epoch(note=lambda loss: loss)),
        Mistake("only the last loss comes back", _last_loss_only),
    ),
)  # fmt: skip


# time_step


def _time_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a step that waits for nothing but data", 3.0, 0.0, 0.0, 0.0)
    yield case("a step that is all forward", 0.0, 2.0, 0.0, 0.0)
    yield case("a step that is all backward", 0.0, 0.0, 4.0, 0.0)
    yield case("a step that is all optimizer", 0.0, 0.0, 0.0, 1.0)
    yield case("all four", 1.0, 2.0, 4.0, 0.5)
    yield case("three steps, one after the other", 0.5, 1.0, 2.0, 0.25, 3)


def _use_timer(answer: Answer, data: float, forward: float, backward: float, optimizer: float, steps: int = 1) -> Any:
    """A clock that stands still but in these four places, where it goes on by so many seconds."""
    now = [1000.0]

    def go_on(seconds: float) -> None:
        now[0] += seconds

    def batches() -> Iterator[Any]:
        for number in range(steps + 1):
            go_on(data)
            yield _batch(2 + number, number)

    model, source = Small(), batches()
    model.on_forward, model.on_backward = partial(go_on, forward), partial(go_on, backward)
    moving = torch.optim.SGD(model.layer.parameters(), lr=0.1)
    moving.register_step_pre_hook(lambda *_: go_on(optimizer))
    found = {f"step {number}": answer(model, source, moving, lambda: now[0]) for number in range(1, steps + 1)}
    return {
        **{key: _numbers(value) for key, value in found.items()},
        "weights afterwards": model.weights(),
        "batches left": sum(1 for _ in source),
    }


def _merged(found: dict[str, float], into: str, gone: str) -> dict[str, float]:
    return found | {into: found[into] + found[gone], gone: 0.0}


def _timed(change: Callable[[dict[str, float]], dict[str, float]]) -> Answer:
    return lambda model, batches, optimizer, clock: change(time_step(model, batches, optimizer, clock))


def _data_not_counted(model: Any, batches: Any, optimizer: Any, clock: Any) -> Any:
    return time_step(model, iter([next(batches)]), optimizer, clock)


def _from_the_start(found: dict[str, float]) -> dict[str, float]:
    whole, sums = 0.0, {}
    for key, seconds in found.items():
        whole += seconds
        sums[key] = whole
    return sums


def _shares(found: dict[str, float]) -> dict[str, float]:
    return {key: seconds / sum(found.values()) for key, seconds in found.items()}


def _no_zero(model: Any, batches: Any, optimizer: Any, clock: Any) -> Any:
    with patch.object(optimizer, "zero_grad", lambda: None):
        return time_step(model, batches, optimizer, clock)


def _no_step(model: Any, batches: Any, optimizer: Any, clock: Any) -> Any:
    with patch.object(optimizer, "step", lambda: None):
        return time_step(model, batches, optimizer, clock)


def _all_batches(model: Any, batches: Any, optimizer: Any, clock: Any) -> Any:
    found = [time_step(model, iter([batch]), optimizer, clock) for batch in list(batches)]
    return found[-1] if found else {}


TIMER = Exercise(
    "time_step",
    lesson=8,
    minutes=15,
    reference=time_step,
    cases=_time_cases,
    call=_use_timer,
    hints=(
        "“My data takes no time.” Waiting for data is what happens inside next(batches): the clock has to be read before it.",
        "“Backward's time is found elsewhere.” Read the clock five times: at the start, then at the end of each part. A part is "
        "the difference of two neighbours, so that the four add up to the whole.",
        "“Nearly there.” start = clock(); images, targets = next(batches); ready = clock(); losses = model(images, targets); "
        "said = clock(); zero_grad, sum, backward; known = clock(); optimizer.step(); end = clock(). Then four differences.",
    ),
    mistakes=(
        Mistake("the batch is taken before the clock starts: waiting for data is not seen", _data_not_counted),
        Mistake("waiting for data is counted as forward", _timed(lambda found: _merged(found, "forward", "data"))),
        Mistake("backward is counted as optimizer", _timed(lambda found: _merged(found, "optimizer", "backward"))),
        Mistake("forward is counted as backward", _timed(lambda found: _merged(found, "backward", "forward"))),
        Mistake("each part is counted from the start of the step", _timed(_from_the_start)),
        Mistake("shares are given, where seconds are meant", _timed(_shares)),
        Mistake("milliseconds are given, where seconds are meant", _timed(lambda found: {k: 1e3 * s for k, s in found.items()})),
        Mistake("gradients are not cleared: the second step is another one", _no_zero),
        Mistake("the weights don't move: a step without the optimizer", _no_step),
        Mistake("all batches are used up, where one is meant", _all_batches),
    ),
)  # fmt: skip


# autocast_step


def _autocast_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("bf16, the scaler switched off", "bfloat16", 0.0)
    yield case("bf16, gradients left from before", "bfloat16", 0.0, 1.0, True)
    yield case("bf16, gradients that are clipped", "bfloat16", 0.0, 64.0)
    yield case("fp16, a scale of 256", "float16", 256.0)
    yield case("fp16, losses so small that gradients are lost without the scale", "float16", 2.0**16, 2.0**-20)
    yield case("fp16, gradients that are clipped", "float16", 16.0, 64.0)
    yield case("fp16, a scale at which a gradient is infinite", "float16", 2.0**20)


def _use_autocast(
    answer: Answer, dtype: str, scale: float, loss_scale: float = 1.0, gradients_left: bool = False
) -> Any:
    """What the forward computed in, the loss, the weights afterwards, the scale afterwards; a scale of 0 is off."""
    model = Small()
    model.scale = loss_scale
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1 / min(1.0, loss_scale))
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale > 0)
    if gradients_left:
        for one in model.layer.parameters():
            one.grad = torch.ones_like(one)
    images, targets = _batch(4)
    loss = answer(model, images, targets, optimizer, scaler, getattr(torch, dtype))
    return {
        "forward computes in": model.dtypes,
        "weights are": str(model.layer.weight.dtype).removeprefix("torch."),
        "backward is inside autocast": model.backward_cast,
        "loss": _numbers(loss),
        "weights afterwards": model.weights(),
        "scale afterwards": scaler.get_scale(),
    }


def _cast(
    *,
    context: Callable[[torch.dtype], Any] = lambda dtype: torch.autocast("cpu", dtype),
    zero: bool = True,
    order: str = "unscale clip",
    scales: bool = True,
    asks: bool = True,
    updates: bool = True,
    says: str = "loss",
) -> Answer:
    """The reference with one thing changed."""

    def changed(model: Any, images: Any, targets: Any, optimizer: Any, scaler: Any, dtype: Any) -> Any:
        with context(dtype):
            loss = torch.stack([one.float() for one in model(images, targets).values()]).sum()
        if zero:
            optimizer.zero_grad()
        scaled = scaler.scale(loss) if scales else loss
        scaled.backward()
        for one in order.split():
            if one == "unscale":
                scaler.unscale_(optimizer)
            else:
                nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        if asks:
            scaler.step(optimizer)
        else:
            optimizer.step()
        if updates:
            scaler.update()
        return scaled.item() if says == "scaled" else loss.item()

    return changed


def _no_scaler(model: Any, images: Any, targets: Any, optimizer: Any, scaler: Any, dtype: Any) -> Any:
    off = torch.amp.GradScaler("cpu", enabled=False)
    return autocast_step(model, images, targets, optimizer, off, dtype)


def _backward_inside(model: Any, images: Any, targets: Any, optimizer: Any, scaler: Any, dtype: Any) -> Any:
    with torch.autocast("cpu", dtype):
        return autocast_step(model, images, targets, optimizer, scaler, dtype)


def _all_half(model: Any, images: Any, targets: Any, optimizer: Any, scaler: Any, dtype: Any) -> Any:
    model.to(dtype)
    return _cast(context=lambda _: torch.autocast("cpu", enabled=False))(
        model, images.to(dtype), targets, optimizer, scaler, dtype
    )


CAST = Exercise(
    "autocast_step",
    lesson=8,
    minutes=10,
    reference=autocast_step,
    cases=_autocast_cases,
    call=_use_autocast,
    tolerance=1e-4,
    hints=(
        "“Forward still computes in float32.” `with torch.autocast(device type, dtype):` around model(…), and nothing else: the "
        "weights stay as they are, and backward stays outside.",
        "“bf16 is right, fp16 is not.” The scaler wants five things, in this order: scale the loss before backward; unscale_ "
        "the gradients of the optimizer; (clip;) step with the optimizer; update.",
        "“Nearly there.” with torch.autocast(images[0].device.type, dtype): losses = model(images, targets). Sum; "
        "optimizer.zero_grad(); scaler.scale(loss).backward(); scaler.unscale_(optimizer); clip_grad_norm_(…, 10); "
        "scaler.step(optimizer); scaler.update(); return loss.item().",
    ),
    mistakes=(
        Mistake("there is no autocast: all is computed in float32", _cast(context=lambda _: torch.autocast("cpu", enabled=False))),
        Mistake("it is always bf16, whatever `dtype` says", _cast(context=lambda _: torch.autocast("cpu", torch.bfloat16))),
        Mistake("the weights themselves are turned into 16 bits: small steps are lost in rounding", _all_half),
        Mistake("backward runs inside autocast, too", _backward_inside),
        Mistake("the scaler is not used: small gradients vanish, and infinite ones reach the weights", _no_scaler),
        Mistake("gradients are clipped before they are unscaled", _cast(order="clip unscale")),
        Mistake("gradients are not clipped", _cast(order="unscale")),
        Mistake("the optimizer's own step is called: infinite gradients are not skipped", _cast(asks=False)),
        Mistake("the scale is never updated: after an infinite gradient it stays too large", _cast(updates=False)),
        Mistake("gradients left from before are not cleared", _cast(zero=False)),
        Mistake("the loss that comes back is scaled", _cast(says="scaled")),
    ),
)  # fmt: skip


# accumulate


def _accumulate_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a batch of one image", 1, 1)
    yield case("all in one part", 3, 3)
    yield case("two images, one at a time", 2, 1)
    yield case("parts of equal size", 4, 2)
    yield case("a last part that is smaller", 3, 2)
    yield case("a part larger than the batch", 3, 8)
    yield case("seven images in parts of three", 7, 3)
    yield case("gradients that are there already", 4, 3, 1.0)


def _use_accumulate(answer: Answer, images: int, micro_batch: int, gradients_before: float = 0.0) -> Any:
    """The losses, the gradients afterwards, and for how many parts the memory of forward was held at once."""
    model = Small()
    for one in model.layer.parameters():
        one.grad = torch.full_like(one, gradients_before) if gradients_before else None
    before = model.weights()
    losses = answer(model, *_batch(images), micro_batch)
    return {
        "gradients": model.gradients(),
        "losses": _numbers(losses),
        "most images in a part": model.largest,
        "parts held in memory at once": model.most,
        "weights moved": not torch.equal(before, model.weights()),
    }


def _parts(
    weigh: Callable[[int, int, int, int], float] = lambda n, whole, micro, parts: n / whole,
    *,
    say: Callable[[int, int, int, int], float] | None = None,
    each: str = "",
) -> Answer:
    """The reference with other weights: of a part's images, the batch's, the micro-batch, and the number of parts."""

    def changed(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
        totals: dict[str, float] = {}
        starts = range(0, len(images), micro_batch)
        kept: list[Tensor] = []
        for start in starts:
            part = slice(start, start + micro_batch)
            if each == "whole" and len(images[part]) < min(micro_batch, len(images)):
                break
            its_images = images[:micro_batch] if each == "first" else images[part]
            its_targets = targets[: len(its_images)] if each in ("first", "targets") else targets[part]
            if each == "first":
                its_images = its_images[: len(images[part])]
                its_targets = its_targets[: len(its_images)]
            losses = model(its_images, its_targets)
            numbers = len(its_images), len(images), micro_batch, len(starts)
            if each == "cleared":
                model.zero_grad()
            loss = _total(losses) * weigh(*numbers)
            if each == "together":
                kept.append(loss)
            else:
                loss.backward()
            for name, one in losses.items():
                value = one.item() * (say or weigh)(*numbers)
                totals[name] = value if each == "last" else totals.get(name, 0.0) + value
        if kept:
            torch.stack(kept).sum().backward()
        return totals

    return changed


def _all_at_once(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    return accumulate(model, images, targets, len(images))


def _cleared_first(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    model.zero_grad()
    return accumulate(model, images, targets, micro_batch)


def _graphs(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    held: dict[str, Any] = {}
    for start in range(0, len(images), micro_batch):
        part = slice(start, start + micro_batch)
        losses = model(images[part], targets[part])
        weight = len(images[part]) / len(images)
        (_total(losses) * weight).backward()
        for name, one in losses.items():
            held[name] = held.get(name, 0.0) + one * weight
    return held


ACCUMULATE = Exercise(
    "accumulate",
    lesson=8,
    minutes=15,
    reference=accumulate,
    cases=_accumulate_cases,
    call=_use_accumulate,
    hints=(
        "“It is right for 4 images in twos, and wrong for 3.” A part's loss is a mean over its own images. What does each of the "
        "images count then, in a last part that is smaller?",
        "“The gradients are right, and memory is as full as before.” backward() frees what forward has kept. Call it for each "
        "part before the next part's forward; gradients add up by themselves, so nothing is cleared in between.",
        "“Nearly there.” for start in range(0, len(images), micro_batch): slice images and targets alike; weight = images of the "
        "part / images of the batch; (sum of the losses · weight).backward(); add loss.item() · weight to the totals.",
    ),
    mistakes=(
        Mistake("parts are not weighted: the gradient grows with their number", _parts(lambda n, whole, micro, parts: 1.0)),
        Mistake("each part counts alike, also a last one that is smaller", _parts(lambda n, whole, micro, parts: 1 / parts)),
        Mistake("each part counts as if it were full", _parts(lambda n, whole, micro, parts: micro / whole)),
        Mistake("a last part that is smaller is left out", _parts(each="whole")),
        Mistake("images are cut into parts, targets are always the first ones", _parts(each="targets")),
        Mistake("every part is the first one", _parts(each="first")),
        Mistake("gradients are cleared before each part: only the last one counts", _parts(each="cleared")),
        Mistake("backward runs once at the end: all parts are held in memory until then", _parts(each="together")),
        Mistake("all images go through at once: `micro_batch` is not used", _all_at_once),
        Mistake("gradients that were there before are cleared", _cleared_first),
        Mistake("the losses are added up without their weights", _parts(say=lambda n, whole, micro, parts: 1.0)),
        Mistake("the losses are those of the last part", _parts(each="last")),
        Mistake("the losses come back as tensors that hold their graphs", _graphs),
    ),
)  # fmt: skip


# halve_on_oom


def _oom_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("memory that is large enough", [1, 1], 2, 8)
    yield case("memory for two of four images", [1, 1, 1, 1], 4, 2)
    yield case("memory for one of eight images", [1] * 8, 8, 1)
    yield case("three at a time that don't fit, and memory for two", [1, 1, 1], 3, 2)
    yield case("six at a time that don't fit, and memory for four", [1] * 6, 6, 4)
    yield case("a last image that is larger than the others", [1, 1, 1, 2], 2, 2)
    yield case("not even one image fits", [3, 3], 2, 2)
    yield case("gradients left from before", [1, 1, 1], 3, 2, 1.0)
    yield case("another error: it is no matter of memory", [-1, -1], 2, 8)


def _use_oom(
    answer: Answer, cost_of_images: list[int], micro_batch: int, memory: int, gradients_before: float = 0.0
) -> Any:
    """The gradients, what came back or was raised, and whether tensors of a failed try were held at a later one."""
    model = Small()
    model.limit = memory
    images, targets = _batch(len(cost_of_images))
    for target, cost in zip(targets, cost_of_images, strict=True):
        target["cost"] = cost
    for one in model.layer.parameters():
        one.grad = torch.full_like(one, gradients_before) if gradients_before else None
    came, raised = None, "nothing"
    try:
        came = answer(model, images, targets, micro_batch)
    except _TooOftenError:
        raised = "nothing, and it never ends"
    except torch.OutOfMemoryError:
        raised = "OutOfMemoryError"
    except RuntimeError as error:
        raised = str(error)
    return {
        "raised": raised,
        "tries of what can't be helped": model.calls if min(cost_of_images) < 0 else 0,
        "losses and images at a time": _numbers(came),
        "gradients": model.gradients() if raised == "nothing" else None,
        "memory of a failed try held": model.held,
    }


def _halving(
    *,
    error: type[BaseException] = torch.OutOfMemoryError,
    clear: str = "always",
    half: Callable[[int], int] = lambda n: -(-n // 2),
    says: str = "",
    inside: bool = False,
    gives_up: bool = True,
) -> Answer:
    """The reference with one thing changed."""

    def changed(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
        begun = micro_batch
        if clear == "once":
            model.zero_grad()
        while True:
            if clear == "always":
                model.zero_grad()
            try:
                found = accumulate(model, images, targets, micro_batch)
                return found, begun if says == "begun" else micro_batch
            except error:
                if micro_batch == 1 and gives_up:
                    raise
                if inside:
                    return changed(model, images, targets, half(micro_batch))
            micro_batch = max(1, half(micro_batch))

    return changed


def _smaller_batch(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    while True:
        model.zero_grad()
        try:
            return accumulate(model, images[:micro_batch], targets[:micro_batch], micro_batch), micro_batch
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
        micro_batch = -(-micro_batch // 2)


def _once(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    model.zero_grad()
    try:
        return accumulate(model, images, targets, micro_batch), micro_batch
    except torch.OutOfMemoryError:
        pass
    micro_batch = max(1, -(-micro_batch // 2))
    model.zero_grad()
    return accumulate(model, images, targets, micro_batch), micro_batch


def _skipped(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    try:
        return halve_on_oom(model, images, targets, micro_batch)
    except torch.OutOfMemoryError:
        return {}, 1


def _only_losses(model: Any, images: Any, targets: Any, micro_batch: int) -> Any:
    return halve_on_oom(model, images, targets, micro_batch)[0]


OOM = Exercise(
    "halve_on_oom",
    lesson=8,
    minutes=15,
    reference=halve_on_oom,
    cases=_oom_cases,
    call=_use_oom,
    hints=(
        "“The gradients are too large after a failure.” The first part may have fitted, and the second not: then half of the "
        "batch is in the gradients already. Every try begins with model.zero_grad().",
        "“Memory of the failed try is held.” While an `except` block runs, the error is alive, and with it all tensors of the "
        "step that failed. Do in it only what you must, and try again outside: a `while True` around the `try`.",
        "“Nearly there.” while True: model.zero_grad(); try: return accumulate(…, micro_batch), micro_batch; except "
        "torch.OutOfMemoryError: if micro_batch == 1: raise. Behind the block: micro_batch = -(-micro_batch // 2), half, "
        "rounded up.",
    ),
    mistakes=(
        Mistake("gradients of the try that failed are not cleared", _halving(clear="once")),
        Mistake("gradients are never cleared", _halving(clear="never")),
        Mistake("the batch is cut, not only its parts: images are lost, and the effective batch shrinks", _smaller_batch),
        Mistake("half is rounded down", _halving(half=lambda n: n // 2)),
        Mistake("it halves once, and not again", _once),
        Mistake("it goes straight down to one image at a time", _halving(half=lambda n: 1)),
        Mistake("what fitted is not told: every step will fail first", _halving(says="begun")),
        Mistake("it tries again inside `except`, where the error still holds the failed step's tensors", _halving(inside=True)),
        Mistake("every RuntimeError is taken for one of memory", _halving(error=RuntimeError)),
        Mistake("where one image doesn't fit, it never ends", _halving(gives_up=False)),
        Mistake("where one image doesn't fit, the step is passed over in silence", _skipped),
        Mistake("the images at a time don't come back", _only_losses),
    ),
)  # fmt: skip


# save_and_resume


def _resume_cases(_: torch.Generator) -> Iterator[Case]:
    yield case("a run that is never stopped", 2)
    yield case("no step to do", 0)
    yield case("a run killed in its third step", 4, 2)
    yield case("a run killed in its first step", 2, 0)
    yield case("a run killed while its second checkpoint is written", 4, 1, "while writing")
    yield case("a run that was done, called again", 2, 2)
    yield case("a run killed twice", 5, 1, "twice")
    yield case("a checkpoint that runs code when it is read", 2, -1, "somebody else's")


class _KilledError(BaseException):
    """No Exception, which answers catch."""


class _Code:
    """Makes a folder when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def _use_resume(answer: Answer, steps: int, killed_in: int = -1, how: str = "between steps") -> Any:
    """A run, killed (in step `killed_in`, from 0), and begun again with other weights and other random numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path, ran = Path(folder) / "last.pt", Path(folder) / "ran"
        if how == "somebody else's":
            torch.save({"model": _Code(str(ran))}, path)
            refused = False
            try:
                _one_run(answer, path, steps, 0, [])
            except Exception:
                refused = True
            return {"refused": refused, "its code was run": ran.exists()}
        kills = {"twice": [killed_in, killed_in + 2]}.get(how, [killed_in] if killed_in >= 0 else [])
        done: list[int] = []
        began: list[Any] = []
        weights = torch.zeros(0)
        for seed, kill in enumerate([*kills, -1]):
            first, weights = _one_run(answer, path, steps, seed, done, kill, how == "while writing")
            began.append(first)
        return {
            "first step of the last run": began[-1],
            "steps done, in order": done,
            "weights in the end": weights,
            "files in the end": sorted(one.name for one in path.parent.iterdir()),
        }


def _one_run(
    answer: Answer, path: Path, steps: int, seed: int, done: list[int], kill: int = -1, writing: bool = False
) -> tuple[Any, Tensor]:
    """What came back, and the weights."""
    model = Small()
    with torch.no_grad():  # seed 0 is the beginning; later runs begin with anything
        model.layer.weight.add_(seed)
    optimizer = torch.optim.SGD(model.layer.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(seed)
    save, saved = torch.save, [0]

    def train_step(step: int) -> None:
        if step == kill and not writing:
            raise _KilledError
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        images, targets = _batch(3, step)
        _total(model(images + torch.rand(3, 3), targets)).backward()
        optimizer.step()
        done.append(step)

    def half_saved(content: Any, where: Any, *args: Any, **kwargs: Any) -> None:
        saved[0] += 1
        if not writing or saved[0] != kill + 1:
            return save(content, where, *args, **kwargs)
        whole = io.BytesIO()
        save(content, whole)
        part = whole.getvalue()[: len(whole.getvalue()) // 2]
        if hasattr(where, "write"):
            where.write(part)
        else:
            Path(where).write_bytes(part)
        raise _KilledError

    first: Any = None
    with patch.object(torch, "save", half_saved):
        try:
            first = answer(path, model, optimizer, train_step, steps)
        except _KilledError:
            first = "killed"
    return first, model.weights()


def _keeper(
    *,
    left_out: str = "",
    beside: bool = True,
    safely: bool = True,
    count: int = 1,
    begin: bool = False,
    says_steps: bool = False,
    tidy: bool = True,
) -> Answer:
    """The reference with one thing changed."""

    def changed(path: Path, model: Any, optimizer: Any, train_step: Any, steps: int) -> Any:
        first = 0
        if path.exists() and not begin:
            content = torch.load(path, weights_only=safely)
            model.load_state_dict(content["model"])
            if left_out != "optimizer":
                optimizer.load_state_dict(content["optimizer"])
            if left_out != "random":
                torch.set_rng_state(content["random"])
            first = 0 if left_out == "step" else content["step"]
        for step in range(first, steps):
            train_step(step)
            content = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "step": step + count,
            }
            place = path.with_suffix(".partial") if beside else path
            torch.save(content, place)
            if beside:
                place.replace(path)
            if not tidy:
                torch.save(content, path.with_name(f"step-{step}.pt"))
        return steps if says_steps else first

    return changed


def _seeded_anew(path: Path, model: Any, optimizer: Any, train_step: Any, steps: int) -> Any:
    torch.manual_seed(0)
    return _keeper(left_out="random")(path, model, optimizer, train_step, steps)


def _only_at_the_end(path: Path, model: Any, optimizer: Any, train_step: Any, steps: int) -> Any:
    first = 0
    if path.exists():
        content = torch.load(path, weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        first = content["step"]
    for step in range(first, steps):
        train_step(step)
    if first < steps:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"random": torch.get_rng_state(), "step": steps}, path)
    return first


RESUME = Exercise(
    "save_and_resume",
    lesson=8,
    minutes=15,
    reference=save_and_resume,
    cases=_resume_cases,
    call=_use_resume,
    tolerance=1e-7,
    hints=(
        "“It goes on, and ends with other weights.” What else was there when it was stopped? The optimizer remembers former "
        "gradients, and torch its place in the random numbers. `step` is the number of the step that comes next.",
        "“Killed while it writes, it can't go on.” torch.save into the checkpoint itself destroys the old one first. Write into "
        "another file in the same folder, then that.replace(path): this happens at once or not at all.",
        "“Nearly there.” If path.exists(): content = torch.load(path, weights_only=True); load_state_dict twice; "
        "torch.set_rng_state(content[…]); first = content[…]. Then for step in range(first, steps): train_step(step); a dict of "
        "both state_dict()s, torch.get_rng_state() and step + 1; save beside; rename. Return first.",
    ),
    mistakes=(
        Mistake("the optimizer's state is not brought back: its momentum begins anew", _keeper(left_out="optimizer")),
        Mistake("the random numbers don't go on where they were", _keeper(left_out="random")),
        Mistake("the random numbers begin anew with the same seed: the first steps' draws come again", _seeded_anew),
        Mistake("the number of the step is not brought back: the run does too many", _keeper(left_out="step")),
        Mistake("the step that was done is done again: count from the next one", _keeper(count=0)),
        Mistake("a step is left out after the resume", _keeper(count=2)),
        Mistake("the checkpoint itself is written over: killed then, there is none", _keeper(beside=False)),
        Mistake("the file is read with weights_only=False: it may run any code", _keeper(safely=False)),
        Mistake("the checkpoint is not looked at: the run begins anew", _keeper(begin=True)),
        Mistake("it saves once, at the end: all that was done is lost", _only_at_the_end),
        Mistake("a file for each step stays: the disk fills up", _keeper(tidy=False)),
        Mistake("the number of steps comes back, where the first step done is meant", _keeper(says_steps=True)),
    ),
)  # fmt: skip

EXERCISES = (WARMUP, EPOCH, TIMER, CAST, ACCUMULATE, OOM, RESUME)
