"""Where half precision helps, and how it is switched on."""

import os

import torch


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def helps_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32; where it only emulates it, it is slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Mixed precision by name: "fp32" (none), "bf16", "fp16", or "auto", which is bf16 where that helps."""
    if precision == "auto":
        precision = "bf16" if helps_bf16(device) else "fp32"
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


def memory_here() -> int:
    """Bytes of the computer's memory; 0 where the system doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0
