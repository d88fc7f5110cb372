"""A small model for the checks of lesson 08: it records what an answer does with it."""

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from coursekit.from_scratch.real_step import forward_backward
from coursekit.training.forward_backward import NO_SCALER

Losses = dict[str, Tensor]
Batch = tuple[Tensor, list[dict[str, Any]]]
MAX_CALLS = 40


class TooManyCallsError(BaseException):
    """Stop an answer that tries forever. Derived from BaseException, since answers may catch Exception."""


class _Stored:
    """Hold a tensor that backward needs, for as long as the graph holds this object."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class SmallModel(nn.Module):
    """Return two losses, each a mean over the images, and record the calls.

    Attributes:
        memory: the cost of the images that fit into one call. An image costs what its target says, by default 1.
        loss_scale: factor of both losses.
        special, special_call: value of the losses in that call, counted from 1: "nan", "inf", "-inf" or "inf - inf".
        calls: number of forward passes.
        largest_batch: the most images in a forward pass.
        memory_in_backward: the same for backward passes.
        most_in_memory: the most forward passes whose tensors were in memory at once, this one included.
        holds_failed_try: whether tensors of a failed try were still alive in a later forward pass.
        dtypes: in which dtype each forward pass computed.
        autocast_in_backward: for each backward pass, whether it ran inside autocast.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self.memory, self.loss_scale = math.inf, 1.0
        self.special, self.special_call = "", 0
        self.memory_in_backward = math.inf
        self.calls, self.largest_batch, self.most_in_memory = 0, 0, 0
        self.holds_failed_try = False
        self.dtypes: list[str] = []
        self.autocast_in_backward: list[bool] = []
        self._stored: list[weakref.WeakSet[_Stored]] = []  # of each forward pass: what it keeps for backward
        self._failed: weakref.ref[Tensor] | None = None

    def forward(self, images: Any, targets: Sequence[dict[str, Any]]) -> Losses:
        """Turn (B, 3) images and B targets, each with a "value", into two losses."""
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images and {len(targets)} targets")
        self._record_call(len(images))
        images = images if isinstance(images, Tensor) else torch.stack(list(images))
        with saved_tensors_hooks(self._store, lambda stored: stored.tensor):
            pred = self.layer(images) * self.frozen
        self.dtypes.append(str(pred.dtype).removeprefix("torch."))
        cost = sum(target.get("cost", 1) for target in targets)
        self._use_memory(pred, cost, self.memory)
        if pred.requires_grad:
            failing = weakref.ref(pred)
            pred.register_hook(lambda _: self._record_backward(failing(), cost))
        value = torch.tensor([target["value"] for target in targets])
        near, far = (pred[:, 0] - value).square().mean(), (pred[:, 1] * value).tanh().add(1.5).mean()
        if self.calls == self.special_call:
            first, *rest = map(float, self.special.split(" - "))
            near, far = near + first, far - rest[0] if rest else far
        return {"loss_near": near * self.loss_scale, "loss_far": far * self.loss_scale}

    def _record_call(self, images: int) -> None:
        self.calls, self.largest_batch = self.calls + 1, max(self.largest_batch, images)
        if self.calls > MAX_CALLS:
            raise TooManyCallsError
        self.holds_failed_try |= self._failed is not None and self._failed() is not None
        self.most_in_memory = max(self.most_in_memory, 1 + sum(map(bool, self._stored)))
        self._stored.append(weakref.WeakSet())

    def _store(self, tensor: Tensor) -> "_Stored":
        stored = _Stored(tensor)
        self._stored[-1].add(stored)
        return stored

    def _use_memory(self, pred: Tensor | None, cost: float, memory: float) -> None:
        if cost < 0:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if cost > memory:
            self._failed = None if pred is None else weakref.ref(pred)
            raise torch.OutOfMemoryError(f"Tried to allocate {cost:g}, of which {memory:g} are free.")

    def _record_backward(self, pred: Tensor | None, cost: float) -> None:
        self.autocast_in_backward.append(torch.is_autocast_enabled("cpu"))
        self._use_memory(pred, cost, self.memory_in_backward)

    def weights(self) -> Tensor:
        """Return all weights that learn, (N,)."""
        return torch.cat([parameter.detach().flatten() for parameter in self.layer.parameters()])

    def gradients(self) -> Tensor:
        """Return their gradients, (N,); 0 where there is none."""
        gradients = [(parameter, parameter.grad) for parameter in self.layer.parameters()]
        return torch.cat([(torch.zeros_like(p) if grad is None else grad).flatten() for p, grad in gradients])

    def set_gradients(self, value: float) -> None:
        """Set all gradients to a value, as if a backward pass had left them; 0 removes them."""
        for parameter in self.layer.parameters():
            parameter.grad = torch.full_like(parameter, value) if value else None


def backward_of(model: SmallModel) -> Callable[..., dict[str, float]]:
    """Return what `accumulate` takes: a function (images, targets, weight) → losses that adds to the gradients."""

    def backward(images: Any, targets: Sequence[dict[str, Any]], weight: float) -> dict[str, float]:
        return forward_backward(model, images, targets, NO_SCALER, torch.float32, weight)

    return backward


def draw_batch(images: int, seed: int = 0) -> Batch:
    """Return (B, 3) images and B targets, the same each time."""
    generator = torch.Generator().manual_seed(100 * seed + images)
    pixels, values = torch.randn(images, 3, generator=generator), torch.randn(images, generator=generator)
    return pixels, [{"value": value} for value in values.tolist()]


def total(losses: Losses) -> Tensor:
    """Return the sum of all losses."""
    return torch.stack(list(losses.values())).sum()


def without_graphs(value: Any) -> Any:
    """Return what an answer returned, with words in place of each tensor that still holds its graph."""
    if isinstance(value, dict):
        return {key: without_graphs(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_graphs(item) for item in value]
    if isinstance(value, Tensor) and value.requires_grad:
        return "a tensor that still holds its graph"
    return value
