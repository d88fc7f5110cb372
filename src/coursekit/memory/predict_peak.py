"""Predict the peak memory of a training step without running it on data: fake tensors have a shape and no content."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from coursekit.core.device import as_on_gpu
from coursekit.core.errors import ConfigError
from coursekit.detector import FCOS, FasterRCNN
from coursekit.detector.fold_batch_norm import ConvNorm
from coursekit.memory.counter import MemoryCounter
from coursekit.memory.step import build, make_optimizer, train_step, warm_up
from coursekit.memory.step_config import KINDS, Peak, StepConfig, check_step_config
from coursekit.memory.worst_case import WorstCase, pool_finest

KIND_BY_PHASE = {"forward": "activations", "backward": "rest", "optimizer": "rest"}


@cache
def predict(config: StepConfig) -> Peak:
    """Predict the peak memory of a training step with this config.

    Raises:
        ConfigError: the config can't be trained.
    """
    check_step_config(config)
    model = build(config)
    try:
        return peak_of(model, config)
    except (AssertionError, RuntimeError) as error:  # some of timm's models accept certain image sizes only
        reason, (height, width) = str(error).splitlines()[0], config.size
        raise ConfigError(f"backbone {config.backbone!r} can't run on {height} × {width} pixels: {reason}") from error


def peak_of(model: FasterRCNN | FCOS, config: StepConfig) -> Peak:
    """Run a training step of a detector on fake tensors and count their bytes. The detector can't be used afterward.

    The fake tensors are on the CPU, whatever the config's device: on a machine without a GPU, fake GPU tensors fail in
    backward, and mixed precision leaves them in float32.
    """
    on_cuda = config.device == "cuda"
    if isinstance(model, FasterRCNN):
        model.stages.pool_levels = partial(pool_finest, on_cpu=not on_cuda)
    for module in model.modules():
        if isinstance(module, ConvNorm) and on_cuda:
            module.float32_on_cpu = False
    _start_autograd()
    fake = FakeTensorMode()
    _make_fake(model, fake)
    with fake, MemoryCounter() as counter, WorstCase(on_cpu=not on_cuda), as_on_gpu() if on_cuda else nullcontext():
        _run_step(model, config, counter)
    sizes = counter.at_peak()
    return Peak(**{kind: sizes.get(kind, 0) for kind in KINDS})


def _start_autograd() -> None:
    """Let autograd start its threads now, one for each GPU.

    Fake tensors make torch believe that there is a GPU. If autograd starts after that, it starts a thread for it, and
    no process that is forked from this one can run backward any more: each check of a lesson that does would fail.
    """
    torch.ones(1, requires_grad=True).sum().backward()


def _make_fake(model: nn.Module, fake: FakeTensorMode) -> None:
    """Replace a model's parameters and buffers by fake ones, in place."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            hollow = fake.from_tensor(parameter.detach())
            module.register_parameter(name, nn.Parameter(hollow, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, fake.from_tensor(buffer))


def _run_step(model: nn.Module, config: StepConfig, counter: MemoryCounter) -> None:
    """Run a step in the middle of a training run: the optimizer has its state already."""
    counter.claim("weights", [*model.parameters(), *model.buffers()])
    optimizer = make_optimizer(model, config.optimizer)
    warm_up(optimizer)
    counter.claim("optimizer", _state_tensors(optimizer))
    if config.accumulates:
        counter.claim("gradients", _gradients(model))
    else:
        optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        counter.kind = KIND_BY_PHASE[name]
        if name == "optimizer":
            counter.claim("gradients", _gradients(model))
        yield

    target = {"boxes": torch.zeros(config.boxes, 4), "labels": torch.ones(config.boxes, dtype=torch.int64)}
    images = [torch.zeros(3, *config.size) for _ in range(config.batch)]
    counter.claim("activations", images)
    train_step(model, optimizer, images, [target] * config.batch, config.precision, phase)


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    values = [value for state in optimizer.state.values() for value in state.values()]
    return [value for value in values if isinstance(value, Tensor)]
