"""What this machine can do for the course, in plain words. `coursekit doctor` prints it."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.device import half_precision_advice, helps_bf16, total_memory
from coursekit.core.files import cache_folder
from coursekit.data.subsets.recipe import names

GB = 1e9
ENOUGH_DISK, ENOUGH_MEMORY = 5 * GB, 6 * GB
ENOUGH_GPU_FREE = 0.7  # share of the card's memory


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was checked.
        value: what is there.
        ok: whether it is good enough.
        meaning: what that means, or what to do.
    """

    name: str
    value: str
    ok: bool
    meaning: str


def examine() -> list[Finding]:
    """Check everything that the course depends on."""
    return [_python(), _torch(), _cpu(), _gpu(), _memory(), _disk(), _weights(), _data(), _compiler()]


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """Return name → value, ok and meaning."""
    return {
        finding.name: {"value": finding.value, "ok": finding.ok, "meaning": finding.meaning} for finding in findings
    }


def _python() -> Finding:
    ok = (3, 11) <= tuple(map(int, platform.python_version_tuple()[:2])) <= (3, 13)
    meaning = "tested with 3.11" if ok else "The course needs 3.11 to 3.13. Make an environment with one of them."
    return Finding("python", platform.python_version(), ok, meaning)


def _torch() -> Finding:
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU only"
    return Finding("torch", torch.__version__, True, f"built {built}")


def _cpu() -> Finding:
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    has_bf16 = helps_bf16(torch.device("cpu"))
    precision = "it has bf16; the trainer measures whether that is faster" if has_bf16 else "no bf16: train in fp32"
    return Finding("cpu", f"{cores} cores", True, f"torch uses {threads} threads; {precision}. All lessons run on it.")


def _gpu() -> Finding:
    if not torch.cuda.is_available():
        return _gpu_without_cuda()
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    enough = free > ENOUGH_GPU_FREE * total
    others = _others_on_gpu()
    meaning = (
        "coursekit plan says what fits." if enough else f"Other programs use much of it: {others or 'see nvidia-smi'}."
    )
    meaning += "" if enough else " Another notebook's kernel keeps its memory until you shut it down."
    meaning += f" {half_precision_advice(torch.device('cuda'))}"
    return Finding("gpu", f"{name}, {free / GB:.1f} of {total / GB:.1f} GB free", enough, meaning)


def _gpu_without_cuda() -> Finding:
    """Tell a machine without a card from one whose card this torch can't use."""
    cards = _nvidia_smi("--query-gpu=name")
    if not cards:
        return Finding("gpu", "none", True, "All lessons run without one; training on real COCO takes hours.")
    if torch.version.cuda is None:
        meaning = (
            "This torch is built for the CPU only, so the card isn't used. Install torch for CUDA: see "
            "https://pytorch.org/get-started/locally"
        )
    else:
        meaning = f"torch needs a driver for CUDA {torch.version.cuda}, or the card is hidden (CUDA_VISIBLE_DEVICES)."
    return Finding("gpu", f"{cards[0]}, not used", False, meaning)


def _others_on_gpu() -> str:
    """Return the processes that hold the card's memory, without this one."""
    lines = [line.split(", ") for line in _nvidia_smi("--query-compute-apps=pid,process_name,used_memory")]
    others = [line for line in lines if len(line) == 3 and line[0] != str(os.getpid())]
    return "; ".join(f"process {pid} ({Path(name).name}) holds {memory}" for pid, name, memory in others)


def _nvidia_smi(query: str) -> list[str]:
    """Return what NVIDIA's own program says, line by line; nothing if there is no such program or driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, errors="replace", timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _memory() -> Finding:
    total = total_memory()
    if not total:
        return Finding("memory", "unknown", True, "The lessons need up to 4 GB.")
    ok = total > ENOUGH_MEMORY
    advice = "" if ok else " Close other programs."
    return Finding("memory", f"{total / GB:.0f} GB", ok, f"The lessons need up to 4 GB.{advice}")


def _disk() -> Finding:
    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    advice = "" if free > ENOUGH_DISK else " Make room, or set COURSEKIT_CACHE to another folder."
    meaning = f"for data sets, stored in {folder}; coco-10k takes about 0.4 GB.{advice}"
    return Finding("disk", f"{free / GB:.0f} GB free", free > ENOUGH_DISK, meaning)


def _weights() -> Finding:
    meaning = "installed with the course; other backbones are downloaded when first used"
    return Finding("weights", DEFAULT_BACKBONE, True, meaning)


def _data() -> Finding:
    built = [name for name in names() if any(cache_folder().glob(f"{name}-*"))]
    meaning = "mini is drawn when first used, in seconds; for photographs: coursekit data build coco-tiny"
    return Finding("data", ", ".join(built) or "none built yet", True, meaning)


def _compiler() -> Finding:
    compiler = next((name for name in ("c++", "g++", "clang++", "cl") if shutil.which(name)), None)
    meaning = "--compile can be used" if compiler else "--compile has no effect; install g++ (or Build Tools) to use it"
    return Finding("compiler", compiler or "none", True, meaning)
