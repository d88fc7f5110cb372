"""Several processes that train one model: torch.distributed, as torchrun starts it. With one process, nothing happens.

torchrun --nproc_per_node=2 -m coursekit train --data mini --out runs/two
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from coursekit.core.device import best_device


def rank() -> int:
    """Which of the processes this is, from 0; the first one writes files and talks."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined() -> Iterator[torch.device]:
    """Join the other processes where torchrun started them; gives the device of this one. NCCL on GPUs, gloo elsewhere.

    Where one process fails, torchrun ends the others.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield best_device()
        return
    device = best_device()
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def same_start(model: nn.Module) -> None:
    """Give all processes the weights of the first."""
    if world() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


def gathered(numbers: list[int], device: torch.device) -> Tensor:
    """(world, N) int64: the numbers of every process, on the CPU."""
    mine = torch.tensor(numbers, device=device)
    every = [torch.empty_like(mine) for _ in range(world())]
    if world() > 1:
        dist.all_gather(every, mine)
    return (torch.stack(every) if world() > 1 else mine[None]).cpu()


def summed(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their sums over all processes, as one message."""
    tensors = list(tensors)
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def added(numbers: dict[str, float]) -> dict[str, float]:
    """Numbers by name, added up over all processes; one that has none of a name counts as 0."""
    if world() == 1:
        return numbers
    every: list[Any] = [None] * world()
    dist.all_gather_object(every, numbers)
    return {name: sum(one.get(name, 0.0) for one in every) for name in sorted({key for one in every for key in one})}


def collected(mine: list[Any]) -> list[Any]:
    """The lists of all processes as one, at the first process; nothing at the others."""
    if world() == 1:
        return mine
    every: list[Any] = [None] * world()
    dist.gather_object(mine, every if rank() == 0 else None)
    return [one for part in every for one in part] if rank() == 0 else []


def told(value: Any) -> Any:
    """The first process's value, at all of them."""
    box = [value]
    if world() > 1:
        dist.broadcast_object_list(box)
    return box[0]
