"""CUDA's random numbers, pretended on a machine without a GPU: does an answer save their state and restore it?"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.cuda.random as cuda_random

NO_CUDA = "Torch not compiled with CUDA enabled"  # torch's own message


@contextmanager
def pretended_cuda(gpus: int) -> Iterator[list[torch.Generator]]:
    """Let `torch.cuda`'s functions for random states work in this block as if the machine had so many GPUs.

    Tensors stay on the CPU. A real GPU isn't touched, so this works in a forked process, too.

    Args:
        gpus: how many; with 0, `get_rng_state()` raises as it does without a GPU, and `get_rng_state_all()` returns [].

    Yields:
        The GPUs' generators. Draw from them with `torch.rand(…, generator=…)`.
    """
    generators = [torch.Generator() for _ in range(gpus)]

    def start() -> None:
        if not gpus:
            raise AssertionError(NO_CUDA)

    def call(function: Callable[[], Any], **_: Any) -> None:
        if gpus:  # without a GPU, torch would put it off forever
            function()

    changes = {
        torch.cuda: {"is_available": lambda: gpus > 0, "default_generators": generators, "_is_in_bad_fork": bool},
        cuda_random: {"device_count": lambda: gpus, "current_device": int, "_lazy_init": start, "_lazy_call": call},
    }
    with ExitStack() as stack:
        for module, names in changes.items():
            for name, value in names.items():
                stack.enter_context(patch.object(module, name, value))
        yield generators
