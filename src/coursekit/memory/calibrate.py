"""The constants of a card, measured on it."""

import sys
from collections.abc import Callable, Sequence

import msgspec
import torch

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file
from coursekit.memory.budget import Constants, constants_file
from coursekit.memory.predict import predict
from coursekit.memory.step import build, one_step, optimizer_of
from coursekit.memory.step_config import MIB, StepConfig

STEPS = 3  # the first ones load kernels and choose algorithms
CONFIGS = (  # of half a GiB, so that a share of the whole comes out, and not the least that anything takes
    StepConfig(size=(640, 640), batch=4),
    StepConfig(size=(480, 480), batch=4, precision="fp32"),
    StepConfig("efficientnet_b0", size=(480, 640), batch=4),
)


class Measured(msgspec.Struct, frozen=True):
    """Bytes after a few steps: at most allocated and reserved, and what else of the card is taken."""

    allocated: int
    reserved: int
    besides: int


def calibrate(
    configs: Sequence[StepConfig] = CONFIGS, tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
) -> Constants:
    """Measure a few steps, and keep what follows for `coursekit plan`.

    The largest overhead and context count: a plan is to hold for every step of a training.

    Args:
        configs: what to measure; they fit on a card of 2 GB.
        tell: gets a line for each.

    Raises:
        ConfigError: there is no CUDA device, or the cache folder can't be written.
    """
    if not torch.cuda.is_available():
        raise ConfigError("--calibrate measures on a CUDA device, and PyTorch finds none here. Plan without it.")
    contexts, overheads = [], []
    for config in configs:
        predicted, measured = predict(config).total, measure(config)
        contexts.append(measured.besides)
        overheads.append(measured.reserved / predicted)
        numbers = [round(one / MIB) for one in (predicted, measured.allocated, measured.reserved)]
        tell(f"{config.backbone}, {config.size}, {config.batch} images, {config.precision}: "
             "predicted {} MiB, allocated {}, reserved {}".format(*numbers))  # fmt: skip
    constants = Constants(max(contexts), max(overheads), torch.cuda.get_device_name())
    make_folder(constants_file().parent)
    with new_file(constants_file()) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(constants)) + b"\n")
    return constants


def measure(config: StepConfig) -> Measured:
    """Take a few steps on random images."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    device = torch.device("cuda")
    model = build(config).to(device)
    optimizer = optimizer_of(model, config.optimizer)
    height, width = config.size
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=device).repeat(config.boxes, 1)
    targets = [{"boxes": box, "labels": torch.ones(config.boxes, dtype=torch.int64, device=device)}] * config.batch
    knows = config.precision != "bf16" or torch.cuda.is_bf16_supported(including_emulation=False)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        images = [torch.rand(3, height, width, device=device) for _ in range(config.batch)]
        one_step(model, optimizer, images, targets, config.precision if knows else "fp16")
    free, total = torch.cuda.mem_get_info()
    besides = total - free - torch.cuda.memory_reserved()
    return Measured(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), besides)
