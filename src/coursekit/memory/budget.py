"""How much of a card's memory is left for tensors."""

from pathlib import Path

import msgspec
import torch

from coursekit.core.errors import DataError
from coursekit.core.files import cache_folder
from coursekit.memory.step_config import GIB, MIB

COMFORTABLE_SHARE = 0.9  # of the usable memory; beyond it, the next fuller image may be one too many


class Constants(msgspec.Struct, frozen=True):
    """What a card needs besides tensors.

    Attributes:
        context: bytes that tensors never get: the CUDA context with its kernels, and the desktop. The context alone
            takes 287 MB at first and up to 667 MB with all kernels loaded (PyTorch, pull request 86509).
        overhead: bytes reserved per byte held by tensors: cuDNN's workspaces, and what PyTorch's allocator loses to
            rounding, to segments of 2 and 20 MiB, and to gaps. With the context it leaves 3.2 of 4 GiB.
        measured_on: name of the card on which `coursekit plan --calibrate` measured them; empty for the defaults.
    """

    context: int = 512 * MIB
    overhead: float = 1.1
    measured_on: str = ""


def usable(vram: float, constants: Constants) -> int:
    """Return the bytes that tensors may hold on a card of `vram` GiB; 0 if not even the context fits."""
    return max(0, int((vram * GIB - constants.context) / constants.overhead))


def verdict(needed: int, budget: int) -> str:
    """Return "fits", "tight" or "does not fit", for a step that needs `needed` bytes of `budget`."""
    if needed > budget:
        return "does not fit"
    return "fits" if needed <= COMFORTABLE_SHARE * budget else "tight"


def vram_here() -> float | None:
    """Return the memory of the CUDA device in GiB; None if there is none."""
    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_properties(0).total_memory / GIB


def constants_file() -> Path:
    """Return the path of the measured constants."""
    return cache_folder() / "memory.json"


def load_constants() -> Constants:
    """Return the constants measured on this machine, else the defaults.

    Raises:
        DataError: the file can't be read.
    """
    path = constants_file()
    if not path.is_file():
        return Constants()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Constants)
    except (msgspec.DecodeError, OSError) as error:
        raise DataError(f"{path}: damaged ({error}). Remove it, or measure again: coursekit plan --calibrate") from None
