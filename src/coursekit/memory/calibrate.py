"""Measure the constants of a card."""

import sys
from collections.abc import Callable, Sequence

import msgspec
import torch

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file
from coursekit.memory.budget import Constants, constants_file
from coursekit.memory.predict_peak import predict
from coursekit.memory.step import build, make_optimizer, train_step
from coursekit.memory.step_config import MIB, StepConfig

STEPS = 3  # the first steps load kernels and choose algorithms
CONFIGS = (  # half a GiB each: enough to measure the overhead, rather than the minimum that any step takes
    StepConfig(size=(640, 640), batch=4),
    StepConfig(size=(480, 480), batch=4, precision="fp32"),
    StepConfig("efficientnet_b0", size=(480, 640), batch=4),
)


class Measured(msgspec.Struct, frozen=True):
    """Memory measured over a few steps, in bytes.

    Attributes:
        allocated: peak held by tensors.
        reserved: peak reserved by PyTorch's allocator.
        other: everything else that the card holds, such as the CUDA context.
    """

    allocated: int
    reserved: int
    other: int


def calibrate(
    configs: Sequence[StepConfig] = CONFIGS, tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
) -> Constants:
    """Measure a few training steps on the card, and store the constants for `coursekit plan`.

    The largest overhead and the largest context count, because a plan has to hold for each step of a training run.

    Args:
        configs: what to measure. By default they fit on a card of 2 GB.
        tell: called with a line per config.

    Raises:
        ConfigError: there is no CUDA device, or the cache folder can't be written.
    """
    if not torch.cuda.is_available():
        raise ConfigError("--calibrate measures on a CUDA device, and PyTorch finds none here. Plan without it.")
    contexts, overheads = [], []
    for config in configs:
        predicted, measured = predict(config).total, measure(config)
        contexts.append(measured.other)
        overheads.append(measured.reserved / predicted)
        numbers = [round(size / MIB) for size in (predicted, measured.allocated, measured.reserved)]
        tell(f"{config.backbone}, {config.size}, {config.batch} images, {config.precision}: "
             "predicted {} MiB, allocated {}, reserved {}".format(*numbers))  # fmt: skip
    constants = Constants(max(contexts), max(overheads), torch.cuda.get_device_name())
    make_folder(constants_file().parent)
    with new_file(constants_file()) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(constants)) + b"\n")
    return constants


def measure(config: StepConfig) -> Measured:
    """Measure the memory of a few training steps on random images."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    device = torch.device("cuda")
    model = build(config).to(device)
    optimizer = make_optimizer(model, config.optimizer)
    height, width = config.size
    boxes = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=device).repeat(config.boxes, 1)
    targets = [{"boxes": boxes, "labels": torch.ones(config.boxes, dtype=torch.int64, device=device)}] * config.batch
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    precision = "fp16" if config.precision == "bf16" and not has_bf16 else config.precision
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        images = [torch.rand(3, height, width, device=device) for _ in range(config.batch)]
        train_step(model, optimizer, images, targets, precision)
    free, total = torch.cuda.mem_get_info()
    other = total - free - torch.cuda.memory_reserved()
    return Measured(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), other)
