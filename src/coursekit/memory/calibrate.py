"""The constants of a card, measured on it."""

import sys
from collections.abc import Callable, Sequence

import msgspec
import torch

from coursekit.errors import SettingError
from coursekit.files import make_folder, new_file
from coursekit.memory.budget import Constants, constants_file
from coursekit.memory.predict import predict
from coursekit.memory.setting import MIB, Setting
from coursekit.memory.step import build, one_step, optimizer_of

STEPS = 3  # the first ones load kernels and choose algorithms
SETTINGS = (  # of half a GiB, so that a share of the whole comes out, and not the least that anything takes
    Setting(size=(640, 640), batch=4),
    Setting(size=(480, 480), batch=4, precision="fp32"),
    Setting("efficientnet_b0", size=(480, 640), batch=4),
)


class Measured(msgspec.Struct, frozen=True):
    """Bytes after a few steps: at most allocated and reserved, and what else of the card is taken."""

    allocated: int
    reserved: int
    besides: int


def calibrate(
    settings: Sequence[Setting] = SETTINGS, tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
) -> Constants:
    """Measure a few steps, and keep what follows for `coursekit plan`.

    The largest overhead and context count: a plan is to hold for every step of a training.

    Args:
        settings: what to measure; they fit on a card of 2 GB.
        tell: gets a line for each.

    Raises:
        SettingError: there is no CUDA device, or the cache folder can't be written.
    """
    if not torch.cuda.is_available():
        raise SettingError("--calibrate measures on a CUDA device, and PyTorch finds none here. Plan without it.")
    contexts, overheads = [], []
    for setting in settings:
        predicted, measured = predict(setting).total, measure(setting)
        contexts.append(measured.besides)
        overheads.append(measured.reserved / predicted)
        numbers = [round(one / MIB) for one in (predicted, measured.allocated, measured.reserved)]
        tell(f"{setting.backbone}, {setting.size}, {setting.batch} images, {setting.precision}: "
             "predicted {} MiB, allocated {}, reserved {}".format(*numbers))  # fmt: skip
    constants = Constants(max(contexts), max(overheads), torch.cuda.get_device_name())
    make_folder(constants_file().parent)
    with new_file(constants_file()) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(constants)) + b"\n")
    return constants


def measure(setting: Setting) -> Measured:
    """Take a few steps on random images."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    device = torch.device("cuda")
    model = build(setting).to(device)
    optimizer = optimizer_of(model, setting.optimizer)
    height, width = setting.size
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=device).repeat(setting.boxes, 1)
    targets = [{"boxes": box, "labels": torch.ones(setting.boxes, dtype=torch.int64, device=device)}] * setting.batch
    knows = setting.precision != "bf16" or torch.cuda.is_bf16_supported(including_emulation=False)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        images = [torch.rand(3, height, width, device=device) for _ in range(setting.batch)]
        one_step(model, optimizer, images, targets, setting.precision if knows else "fp16")
    free, total = torch.cuda.mem_get_info()
    besides = total - free - torch.cuda.memory_reserved()
    return Measured(torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), besides)
