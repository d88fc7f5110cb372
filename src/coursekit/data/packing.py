"""How a batch crosses from a worker: its pixels through memory that both sides hold, the rest as a few small arrays.

A tensor sent the usual way gets new shared memory, and its pages and handshake cost more than decoding a small JPEG.
Here each worker writes its batches in turn into a few slots of its own, and the receiver copies them out.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from coursekit.data.boxes import Target

Sample = tuple[tuple[Tensor, Target] | None, dict[str, str]]  # what was read, and what could not be
PREFETCH = 2  # batches that a worker may be ahead
SLOTS = PREFETCH + 2  # and one that is being copied out, and one to spare
LARGEST_SLOT = 2**26  # bytes


class Slots:
    """Shared memory for batches, and whose turn it is.

    Args:
        workers: how many processes write.
        capacity: bytes of the largest batch expected; a larger one is sent as a tensor.
    """

    def __init__(self, workers: int, capacity: int) -> None:
        self.capacity, self.turn = min(capacity, LARGEST_SLOT), 0
        shape = (workers, SLOTS, self.capacity)
        self.memory = torch.empty(shape, dtype=torch.uint8).share_memory_() if workers else None

    def next(self) -> tuple[Tensor, tuple[int, int] | None]:
        """(capacity,) memory to write a batch into, with its worker and slot where it is shared."""
        worker = get_worker_info()
        if worker is None or self.memory is None:
            return torch.empty(self.capacity, dtype=torch.uint8), None
        self.turn = (self.turn + 1) % SLOTS
        return self.memory[worker.id, self.turn], (worker.id, self.turn)

    def copy(self, slot: tuple[int, int], size: int) -> Tensor:
        """The first `size` bytes of a slot, in memory of the receiver's own."""
        assert self.memory is not None  # only a worker gives a slot
        return self.memory[slot][:size].clone()


class Packed(NamedTuple):
    """A batch on its way."""

    pixels: Tensor | None  # (sum of H * W * 3,) uint8, image after image; None where they lie in the slot
    slot: tuple[int, int] | None
    sizes: list[tuple[int, int]]  # H, W of each
    boxes: NDArray[np.float32]  # (sum of N + M, 4): an image's boxes, then its crowds
    labels: NDArray[np.int64]  # (sum of N,)
    counts: list[tuple[int, int]]  # N, M of each
    image_ids: list[int]
    unreadable: dict[str, str]


def pack(samples: Iterable[Sample], slots: Slots) -> Packed:
    """Samples as one batch. An image is copied before the next is asked for, so that all may share their memory.

    Those that could not be read are left out.
    """
    memory, slot = slots.next()
    end, sizes, targets = 0, [], []
    unreadable: dict[str, str] = {}
    for sample, failures in samples:
        unreadable |= failures
        if sample is None:
            continue
        image, target = sample
        start, end = end, end + image.numel()
        if end > len(memory):  # larger than expected: no longer in the slot
            memory, slot = torch.cat([memory[:start], memory.new_empty(2 * end)]), None
        memory[start:end].view(*image.shape[1:], 3).copy_(image.permute(1, 2, 0))
        sizes.append((image.shape[1], image.shape[2]))
        targets.append(target)
    boxes = [target[name].numpy() for target in targets for name in ("boxes", "crowd_boxes")]
    return Packed(
        pixels=None if slot else memory[:end],
        slot=slot,
        sizes=sizes,
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        labels=np.concatenate([np.zeros(0, np.int64), *(target["labels"].numpy() for target in targets)]),
        counts=[(len(target["boxes"]), len(target["crowd_boxes"])) for target in targets],
        image_ids=[target["image_id"] for target in targets],
        unreadable=unreadable,
    )


def unpack(batch: Packed, slots: Slots) -> tuple[list[Tensor], list[Target]]:
    """The images and targets of a packed batch, as views of a few tensors of the caller's own."""
    areas = [3 * height * width for height, width in batch.sizes]
    flat = slots.copy(batch.slot, sum(areas)) if batch.slot else cast(Tensor, batch.pixels)
    boxes = torch.from_numpy(batch.boxes).split([count for pair in batch.counts for count in pair])
    labels = torch.from_numpy(batch.labels).split([count for count, _ in batch.counts])
    images = [
        pixels.view(*size, 3).permute(2, 0, 1) for pixels, size in zip(flat.split(areas), batch.sizes, strict=True)
    ]
    columns = zip(boxes[::2], labels, boxes[1::2], batch.image_ids, strict=True)
    names = ("boxes", "labels", "crowd_boxes", "image_id")
    return images, [cast(Target, dict(zip(names, values, strict=True))) for values in columns]
