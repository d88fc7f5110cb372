"""Send a batch from a worker process: the pixels through shared memory, the rest as a few small arrays.

A tensor sent in PyTorch's usual way gets new shared memory each time. Its pages and the handshake cost more than
decoding a small JPEG. Here each worker writes its batches in turn to a few slots of its own, and the receiver copies
them.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from coursekit.data.boxes import Size, Target

# The sample, None if it could not be read; and file name → reason for each file that could not be read.
Sample = tuple[tuple[Tensor, Target] | None, dict[str, str]]
PREFETCH = 2  # batches that a worker may prepare in advance
SLOTS = PREFETCH + 2  # plus one that is being copied, and one in reserve
LARGEST_SLOT = 2**26  # bytes


class Slots:
    """Shared memory for batches.

    Args:
        workers: number of processes that write.
        capacity: size of the largest expected batch in bytes. A larger batch is sent as a tensor.
    """

    def __init__(self, workers: int, capacity: int) -> None:
        self.capacity, self.turn = min(capacity, LARGEST_SLOT), 0
        shape = (workers, SLOTS, self.capacity)
        self.memory = torch.empty(shape, dtype=torch.uint8).share_memory_() if workers else None

    def next(self) -> tuple[Tensor, tuple[int, int] | None]:
        """Return (capacity,) memory for a batch; and its worker and slot, or None if it isn't shared."""
        worker = get_worker_info()
        if worker is None or self.memory is None:
            return torch.empty(self.capacity, dtype=torch.uint8), None
        self.turn = (self.turn + 1) % SLOTS
        return self.memory[worker.id, self.turn], (worker.id, self.turn)

    def copy(self, slot: tuple[int, int], size: int) -> Tensor:
        """Copy the first `size` bytes of a slot to memory of the receiver."""
        assert self.memory is not None  # only workers use slots
        return self.memory[slot][:size].clone()


class Packed(NamedTuple):
    """A batch as it is sent.

    Attributes:
        pixels: (sum of 3 · H · W,) uint8, image after image; None if they are in the slot.
        slot: worker and slot, see `Slots.next`.
        sizes: (height, width) of each image.
        boxes: (sum of N + M, 4), the boxes of each image followed by its crowds.
        labels: (sum of N,).
        counts: N and M of each image.
        image_ids: COCO's id of each image.
        unreadable: file name → reason.
    """

    pixels: Tensor | None
    slot: tuple[int, int] | None
    sizes: list[Size]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    counts: list[tuple[int, int]]
    image_ids: list[int]
    unreadable: dict[str, str]


def pack(samples: Iterable[Sample], slots: Slots) -> Packed:
    """Pack samples into one batch, without those that could not be read.

    Each image is copied before the next sample is requested, so all samples may use the same memory.
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
        if end > len(memory):  # larger than expected: leave the slot
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
    """Return the images and targets of a packed batch, as views of a few tensors that belong to the caller."""
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
