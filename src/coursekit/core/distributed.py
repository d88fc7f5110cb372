"""Training with several processes: thin wrappers around torch.distributed. With a single process they do nothing.

torchrun starts the processes:

    torchrun --nproc_per_node=2 -m coursekit train --data mini --out runs/two
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from coursekit.core.device import choose_device


def rank() -> int:
    """Return the number of this process, from 0. Process 0 writes the files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_processes() -> int:
    """Return the number of processes on this machine, as torchrun tells it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if dist.is_initialized() else 1


@contextmanager
def process_group(device_name: str | None = None) -> Iterator[torch.device]:
    """Join the process group if torchrun started this process, and yield the device of this process.

    Tensors on GPUs travel with NCCL, those on CPUs with gloo. If one process fails, torchrun stops the others.

    Args:
        device_name: see `choose_device`.
    """
    device = choose_device(device_name)
    if "RANK" not in os.environ or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def broadcast_weights(model: nn.Module) -> None:
    """Copy the weights and buffers of process 0 to all processes, in place."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


def all_gather(numbers: list[int]) -> list[list[int]]:
    """Return the numbers of each process. They travel from CPU to CPU, so no process waits for its GPU."""
    if world_size() == 1:
        return [numbers]
    local = torch.tensor(numbers)
    rows = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(rows, local)
    return [row.tolist() for row in rows]


def all_reduce_sum(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in place and in a single message."""
    tensors = list(tensors)
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def gather_all(value: Any) -> list[Any]:
    """Return the values of all processes, at all processes. Slow: they are pickled."""
    values: list[Any] = [value]
    if world_size() > 1:
        values *= world_size()
        dist.all_gather_object(values, value)
    return values


def gather_lists(items: list[Any]) -> list[Any]:
    """Return the lists of all processes as one list at process 0, and an empty list at the others."""
    if world_size() == 1:
        return items
    parts: list[Any] = [None] * world_size()
    dist.gather_object(items, parts if rank() == 0 else None)
    return [item for part in parts for item in part] if rank() == 0 else []


def broadcast(value: Any) -> Any:
    """Return the value of process 0, at all processes."""
    values = [value]
    if world_size() > 1:
        dist.broadcast_object_list(values)
    return values[0]
