"""The device: which one, its precision, its memory, and how to tell that it has run out of memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def helps_bf16(device: torch.device) -> bool:
    """Return whether the device computes faster in bfloat16 than in float32. Emulated bfloat16 is not faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def choose_precision(device: torch.device, precision: str) -> str:
    """Replace "auto" by "bf16" if that helps on the device, else by "fp32"."""
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
