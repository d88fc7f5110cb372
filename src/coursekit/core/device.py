"""The device: which one, its precision, its memory, and how to tell that it has run out of memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from coursekit.core.errors import ConfigError

AMPERE = (8, 0)  # compute capability of the first cards with bf16: A100 and RTX 30, of 2020


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU. An Apple GPU is used only on request."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_device(name: str | None) -> torch.device:
    """Return the device of this name, "cpu", "cuda" or "mps" (Apple's GPUs); the best one for None.

    Raises:
        ConfigError: PyTorch finds no such device here.
    """
    if name is None:
        return best_device()
    is_here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in is_here:
        raise ConfigError(f"device is {name!r}: choose one of {', '.join(is_here)}.")
    if not is_here[name]:
        raise ConfigError(f"device is {name!r}: PyTorch finds none here. `coursekit doctor` shows what it finds.")
    return torch.device(name)


def use_tensor_cores(device: torch.device) -> None:
    """Let matrix products and convolutions in float32 use TF32, with 10 bits of mantissa, on a card that has it."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


def helps_bf16(device: torch.device) -> bool:
    """Return whether the device can compute in bfloat16. Emulated bfloat16 is never faster, so it doesn't count."""
    return half_precision(device) == "bf16"


def half_precision(device: torch.device) -> str | None:
    """Return the 16-bit precision to use on a device, "bf16" or "fp16"; None if there is none.

    Whether it is faster than float32 has to be measured.
    """
    if device.type == "cuda":
        return half_precision_of_card(_capability(device))
    has_bf16 = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if has_bf16 else None


def _capability(device: torch.device) -> tuple[int, int]:
    """Return the compute capability of a card; without a GPU, that of most: a report may be about another machine."""
    try:
        return torch.cuda.get_device_capability(device)
    except (RuntimeError, AssertionError):
        return AMPERE


def half_precision_of_card(capability: tuple[int, int]) -> str:
    """Return the 16-bit precision of a card with this compute capability.

    Ampere and later have bf16, with the range of float32. Turing (RTX 20, GTX 16, T4) and older cards have fp16 only,
    which needs loss scaling: its smallest number is 6e-8.

    >>> half_precision_of_card((7, 5)), half_precision_of_card((8, 6))
    ('fp16', 'bf16')
    """
    return "bf16" if capability >= AMPERE else "fp16"


def half_precision_advice(device: torch.device) -> str:
    """Say which 16-bit precision to use: on this card, or on any if this is a CPU."""
    if device.type != "cuda":
        return (
            "Cards from Ampere (2020) on have bf16. On Turing and older, use --precision fp16: it takes as much memory."
        )
    half = half_precision(device)
    return f"Its 16-bit precision is {half}: --precision auto measures whether it is faster than fp32."


def choose_precision(device: torch.device, precision: str) -> str:
    """Replace "auto" by "bf16" if the device has it, else by "fp32". A training run measures instead."""
    if precision != "auto":
        return precision
    return "bf16" if helps_bf16(device) else "fp32"


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Return the autocast context of a precision: "fp32" (no autocast), "bf16", "fp16" or "auto"."""
    precision = choose_precision(device, precision)
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


_as_on_gpu = ContextVar("_as_on_gpu", default=False)


def prefers_few_launches(device: torch.device) -> bool:
    """Return whether it pays to replace loops by a few large operations, because launching one takes long."""
    return device.type != "cpu" or _as_on_gpu.get()


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Run on the CPU what would run on a GPU: to test it, or to count its memory and operations."""
    token = _as_on_gpu.set(True)
    try:
        yield
    finally:
        _as_on_gpu.reset(token)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device. Neither Python nor the device waits: on the way to a GPU it is in pinned memory."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a GPU or the computer had no memory left.

    Not all of these errors are `torch.OutOfMemoryError`: the CPU's allocator and some CUDA libraries raise a plain
    RuntimeError, so its text decides.
    """
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "allocate memory")
    )


def total_memory() -> int:
    """Return the computer's memory in bytes; 0 if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0
