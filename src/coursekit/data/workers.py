"""How many processes read data ahead of time."""

import os
import shutil
import warnings
from pathlib import Path

import torch

SHARED_MEMORY = Path("/dev/shm")
MOST_WORKERS = 8
BATCHES_PER_WORKER = 8  # starting a process takes as long as reading some batches


def choose_workers(device: torch.device, batches: int, processes: int = 1) -> int:
    """Return how many processes should read for each training or scoring process: what "auto" means.

    On a CPU it is 0: reading an image takes a fiftieth of the time of training on it, and every core computes already.
    On a GPU, one core is left to launch its operations.

    Args:
        device: the device that computes.
        batches: how many will be read.
        processes: training or scoring processes on this machine.
    """
    if device.type == "cpu":
        return 0
    return max(0, min(MOST_WORKERS, cores() // processes - 1, batches // BATCHES_PER_WORKER))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_that_fit(workers: int, size: int) -> int:
    """Return how many workers can have this many bytes of shared memory each, and warn if that is fewer.

    Containers often have 64 MB of it, and a process that writes beyond the end is killed.
    """
    if not workers or not SHARED_MEMORY.is_dir():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    fitting = min(workers, int(0.9 * free) // max(1, size))
    if fitting < workers:
        warnings.warn(
            f"{workers} workers need {workers * size / 2**20:,.0f} MiB of shared memory, and {SHARED_MEMORY} has "
            f"{free / 2**20:,.0f} MiB free: {fitting} are used. In Docker, set --shm-size.",
            stacklevel=2,
        )
    return fitting
