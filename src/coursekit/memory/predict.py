"""The peak memory of a training step, found without taking it: on tensors that have a shape and no content."""

from functools import cache, partial

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from coursekit.core.errors import ConfigError
from coursekit.detector import FasterRCNN
from coursekit.detector.norm import ConvNorm
from coursekit.detector.roi import fastest_roi_align, torchvision_roi_align
from coursekit.memory.counter import MemoryCounter
from coursekit.memory.step import build, one_step, optimizer_of, remember
from coursekit.memory.step_config import KINDS, Peak, StepConfig, check_step_config
from coursekit.memory.worst_case import Guess, pool_finest

KIND_OF_PHASE = {"forward": "activations", "backward": "rest", "update": "rest"}


@cache
def predict(config: StepConfig) -> Peak:
    """The peak of a step of exactly this config.

    Raises:
        ConfigError: the config can't be trained.
    """
    check_step_config(config)
    model = build(config)
    try:
        return peak_of(model, config)
    except (AssertionError, RuntimeError) as error:  # some of timm's models take images of certain sizes only
        reason, (height, width) = str(error).splitlines()[0], config.size
        raise ConfigError(f"backbone {config.backbone!r} can't run on {height} × {width} pixels: {reason}") from error


def peak_of(model: FasterRCNN, config: StepConfig) -> Peak:
    """Run a step of a detector on fake tensors, and count. The detector is spoilt by it.

    They stand on the CPU, whatever the device: fake ones on a GPU break in backward where there is none, and
    mixed precision leaves them in float32.
    """
    on_cuda = config.device == "cuda"
    roi_align = torchvision_roi_align if on_cuda else fastest_roi_align
    model.parts.pool_levels = partial(pool_finest, roi_align=roi_align)
    for module in model.modules():
        if isinstance(module, ConvNorm) and on_cuda:
            module.float32_on_cpu = False
    fake = FakeTensorMode()
    _empty(model, fake)
    with fake, MemoryCounter() as counter, Guess(on_cpu=not on_cuda):
        _step(model, config, counter)
    found = counter.at_peak()
    return Peak(**{kind: found.get(kind, 0) for kind in KINDS})


def _empty(model: nn.Module, fake: FakeTensorMode) -> None:
    """Take the content out of a model's tensors, in place."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            hollow = fake.from_tensor(parameter.detach())
            module.register_parameter(name, nn.Parameter(hollow, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module.register_buffer(name, fake.from_tensor(buffer))


def _step(model: nn.Module, config: StepConfig, counter: MemoryCounter) -> None:
    """A step of a training that has been going on for a while."""
    counter.claim("weights", [*model.parameters(), *model.buffers()])
    optimizer = optimizer_of(model, config.optimizer)
    remember(optimizer)
    counter.claim("optimizer", _tensors(optimizer))
    if config.accumulates:
        counter.claim("gradients", _gradients(model))
    else:
        optimizer.zero_grad(set_to_none=True)

    def entering(phase: str) -> None:
        counter.kind = KIND_OF_PHASE[phase]
        if phase == "update":
            counter.claim("gradients", _gradients(model))

    target = {"boxes": torch.zeros(config.boxes, 4), "labels": torch.ones(config.boxes, dtype=torch.int64)}
    images = [torch.zeros(3, *config.size) for _ in range(config.batch)]
    counter.claim("activations", images)
    one_step(model, optimizer, images, [target] * config.batch, config.precision, entering)


def _gradients(model: nn.Module) -> list[Tensor]:
    return [one.grad for one in model.parameters() if one.grad is not None]


def _tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [one for state in optimizer.state.values() for one in state.values() if isinstance(one, Tensor)]
