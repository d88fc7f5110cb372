"""What this machine can do for the course, in plain words. `coursekit doctor` prints it."""

import os
import platform
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.device import helps_bf16, memory_here
from coursekit.core.files import cache_folder
from coursekit.data.subsets.recipe import names

GB = 1e9
ENOUGH_DISK = 5 * GB


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what is there, whether that will do, and what it means or what to do."""

    name: str
    value: str
    ok: bool
    meaning: str


def examine() -> list[Finding]:
    """Look at everything that the course depends on."""
    return [_python(), _torch(), _cpu(), _gpu(), _memory(), _disk(), _weights(), _data(), _compiler()]


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """name → value, ok, meaning."""
    return {one.name: {"value": one.value, "ok": one.ok, "meaning": one.meaning} for one in findings}


def _python() -> Finding:
    ok = (3, 11) <= tuple(map(int, platform.python_version_tuple()[:2])) <= (3, 13)
    meaning = "tested with 3.11" if ok else "The course is made for 3.11 to 3.13: make an environment with one of them."
    return Finding("python", platform.python_version(), ok, meaning)


def _torch() -> Finding:
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU only"
    return Finding("torch", torch.__version__, True, f"built {built}")


def _cpu() -> Finding:
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    fast = helps_bf16(torch.device("cpu"))
    half = "it computes in bf16, which the trainer uses" if fast else "no bf16, so the trainer uses fp32"
    return Finding("cpu", f"{cores} cores", True, f"torch uses {threads} threads; {half}. All lessons run on it.")


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        meaning = "All lessons run without one; training on real COCO takes hours. Have one? Install torch for CUDA."
        return Finding("gpu", "none", True, meaning)
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    enough = free > 0.7 * total
    meaning = "What fits on it: coursekit plan" if enough else "Others hold much of it: close them (nvidia-smi)."
    return Finding("gpu", f"{name}, {free / GB:.1f} of {total / GB:.1f} GB free", enough, meaning)


def _memory() -> Finding:
    total = memory_here()
    if not total:
        return Finding("memory", "unknown", True, "The lessons need up to 4 GB.")
    ok = total > 6 * GB
    return Finding(
        "memory", f"{total / GB:.0f} GB", ok, "The lessons need up to 4 GB." + ("" if ok else " Close others.")
    )


def _disk() -> Finding:
    folder = cache_folder()
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(existing).free
    advice = "" if free > ENOUGH_DISK else " Make room, or name another folder in COURSEKIT_CACHE."
    meaning = f"for data, in {folder}; coco-10k takes some 0.4 GB.{advice}"
    return Finding("disk", f"{free / GB:.0f} GB free", free > ENOUGH_DISK, meaning)


def _weights() -> Finding:
    return Finding(
        "weights", DEFAULT_BACKBONE, True, "installed with the course; other backbones are fetched at first use"
    )


def _data() -> Finding:
    built = [name for name in names() if any(cache_folder().glob(f"{name}-*"))]
    meaning = "mini is drawn at first use, in seconds; photographs: coursekit data build coco-tiny"
    return Finding("data", ", ".join(built) or "none built yet", True, meaning)


def _compiler() -> Finding:
    found = next((name for name in ("c++", "g++", "clang++", "cl") if shutil.which(name)), None)
    meaning = "--compile can be used" if found else "--compile goes on without; install g++ (or Build Tools) to use it"
    return Finding("compiler", found or "none", True, meaning)
