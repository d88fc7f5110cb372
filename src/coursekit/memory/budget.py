"""What of a card's memory is left for tensors."""

from pathlib import Path

import msgspec

from coursekit.core.errors import DataError
from coursekit.core.files import cache_folder
from coursekit.memory.step_config import GIB, MIB

COMFORT = (
    0.9  # of what is usable: up to here a config fits, beyond it is tight: the next full image may be one too many
)


class Constants(msgspec.Struct, frozen=True):
    """What a card needs besides tensors.

    Attributes:
        context: bytes that tensors never get: CUDA's context with the kernels loaded, and the desktop. The context
            alone takes 287 MB at first and up to 667 with all kernels (PyTorch, pull request 86509).
        overhead: bytes reserved for a byte that tensors hold: cuDNN's workspaces, and what PyTorch's allocator loses to
            rounding, in segments of 2 and 20 MiB, and to gaps. With the context it leaves 3.2 of 4 GiB.
        measured_on: the card, where `coursekit plan --calibrate` has measured them.
    """

    context: int = 512 * MIB
    overhead: float = 1.1
    measured_on: str = ""


def usable(vram: float, constants: Constants) -> int:
    """Bytes that tensors may hold on a card of so many GiB; 0 where not even the context fits."""
    return max(0, int((vram * GIB - constants.context) / constants.overhead))


def verdict(needed: int, budget: int) -> str:
    """ "fits", "tight" or "does not fit"."""
    if needed > budget:
        return "does not fit"
    return "fits" if needed <= COMFORT * budget else "tight"


def constants_file() -> Path:
    """Where the measured constants lie."""
    return cache_folder() / "memory.json"


def load_constants() -> Constants:
    """Those that were measured on this machine, else the defaults.

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
