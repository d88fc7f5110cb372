"""Send a batch from a worker process: the pixels through shared memory, the rest as a few small arrays.

A tensor sent in PyTorch's usual way gets new shared memory each time. Its pages and the handshake cost more than
decoding a small JPEG. Here each worker writes its batches in turn to a few slots of its own, and the receiver copies
them.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from coursekit.data.boxes import Size, Target
from coursekit.data.padded_images import LARGEST_CANVAS, MOST_PADDING, PaddedImages, canvas_size

# The sample, None if it could not be read; and file name → reason for each file that could not be read.
Sample = tuple[tuple[Tensor, Target] | None, dict[str, str]]
Batch = tuple[Sequence[Tensor], list[Target]]
PREFETCH = 2  # batches that a worker may prepare in advance
SLOTS = PREFETCH + 2  # plus one that is being copied, and one in reserve


class Slots:
    """Shared memory for batches.

    Args:
        workers: number of processes that write.
        capacity: size of the largest expected batch in bytes, without padding.
        pin: copy batches into page-locked memory, from which a GPU can fetch them by itself.
    """

    def __init__(self, workers: int, capacity: int, *, pin: bool = False) -> None:
        self.capacity, self.turn, self.pin = slot_size(capacity), 0, pin
        shape = (workers, SLOTS, self.capacity)
        self.memory = torch.empty(shape, dtype=torch.uint8).share_memory_() if workers else None

    def next(self) -> tuple[Tensor, tuple[int, int] | None]:
        """Return (capacity,) memory for a batch; and its worker and slot, or None if it isn't shared."""
        worker = get_worker_info()
        if worker is None or self.memory is None:
            return torch.empty(self.capacity, dtype=torch.uint8, pin_memory=self.pin), None
        self.turn = (self.turn + 1) % SLOTS
        return self.memory[worker.id, self.turn], (worker.id, self.turn)

    def copy(self, slot: tuple[int, int], size: int) -> Tensor:
        """Copy the first `size` bytes of a slot to memory of the receiver."""
        assert self.memory is not None  # only workers use slots
        return torch.empty(size, dtype=torch.uint8, pin_memory=self.pin).copy_(self.memory[slot][:size])


def slot_size(capacity: int) -> int:
    """Return the bytes of a slot for batches of images that take `capacity` bytes without padding."""
    return min(MOST_PADDING * capacity, LARGEST_CANVAS)


class Packed(NamedTuple):
    """A batch as it is sent.

    Attributes:
        images: see `PaddedImages`, or a list of (3, H, W) uint8; None if they are in the slot.
        slot: worker and slot, see `Slots.next`.
        canvas: (height, width) of the canvas in the slot.
        sizes: (height, width) of each image.
        boxes: (sum of N + M, 4), the boxes of each image followed by its crowds.
        labels: (sum of N,).
        counts: N and M of each image.
        image_ids: COCO's id of each image.
        unreadable: file name → reason.
    """

    images: Sequence[Tensor] | None
    slot: tuple[int, int] | None
    canvas: Size
    sizes: list[Size]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    counts: list[tuple[int, int]]
    image_ids: list[int]
    unreadable: dict[str, str]


class Canvas:
    """Where the images of a batch are written: on one canvas each, or apart if that would be mostly padding.

    Args:
        memory: (capacity,) uint8 for the canvas.
        expected: (height, width) of the images that will come, as far as is known.

    Attributes:
        images: those written so far.
    """

    def __init__(self, memory: Tensor, expected: Sequence[Size]) -> None:
        self.memory, self.count = memory, len(expected)
        self.images: PaddedImages | list[Tensor] = []
        self._enlarge(expected)

    def add(self, image: Tensor) -> None:
        """Write an image, (3, H, W) uint8."""
        size = image.shape[1], image.shape[2]
        if isinstance(self.images, PaddedImages) and not _fits(size, self.images.canvas):
            self._enlarge([*self.images.sizes, size])
        if isinstance(self.images, PaddedImages):
            self.images.sizes.append(size)
            self.images[len(self.images) - 1].copy_(image)
        else:
            self.images.append(image.clone())

    def _enlarge(self, sizes: Sequence[Size]) -> None:
        """Begin anew with a canvas for these sizes if it fits into the memory, and write the images again."""
        images = [image.clone() for image in self.images]  # their memory is about to be written to
        size = canvas_size(sizes)
        self.images = images
        if size is not None and 3 * self.count * size[0] * size[1] <= len(self.memory):
            shape = (self.count, *size, 3)
            self.images = PaddedImages(self.memory[: 3 * self.count * size[0] * size[1]].view(shape), [])
            for image in images:
                self.add(image)


def _fits(size: Size, canvas: Tensor) -> bool:
    return size[0] <= canvas.shape[1] and size[1] <= canvas.shape[2]


def pack(samples: Iterable[Sample], slots: Slots, expected: Sequence[Size]) -> Packed:
    """Pack samples into one batch, without those that could not be read.

    Each image is copied before the next sample is requested, so all samples may use the same memory.

    Args:
        samples: those of the batch.
        slots: shared memory.
        expected: the (height, width) that the images of the samples should have.
    """
    memory, slot = slots.next()
    canvas, targets = Canvas(memory, expected), []
    unreadable: dict[str, str] = {}
    for sample, failures in samples:
        unreadable |= failures
        if sample is not None:
            canvas.add(sample[0])
            targets.append(sample[1])
    boxes = [target[name].numpy() for target in targets for name in ("boxes", "crowd_boxes")]
    images = canvas.images
    is_in_slot = slot is not None and isinstance(images, PaddedImages)
    return Packed(
        images=None if is_in_slot else images,
        slot=slot if is_in_slot else None,
        canvas=(images.canvas.shape[1], images.canvas.shape[2]) if isinstance(images, PaddedImages) else (0, 0),
        sizes=[(image.shape[1], image.shape[2]) for image in images],
        boxes=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        labels=np.concatenate([np.zeros(0, np.int64), *(target["labels"].numpy() for target in targets)]),
        counts=[(len(target["boxes"]), len(target["crowd_boxes"])) for target in targets],
        image_ids=[target["image_id"] for target in targets],
        unreadable=unreadable,
    )


def unpack(batch: Packed, slots: Slots) -> Batch:
    """Return the images and targets of a packed batch, as views of a few tensors that belong to the caller."""
    boxes = torch.from_numpy(batch.boxes).split([count for pair in batch.counts for count in pair])
    labels = torch.from_numpy(batch.labels).split([count for count, _ in batch.counts])
    columns = zip(boxes[::2], labels, boxes[1::2], batch.image_ids, strict=True)
    names = ("boxes", "labels", "crowd_boxes", "image_id")
    return _images(batch, slots), [cast(Target, dict(zip(names, values, strict=True))) for values in columns]


def _images(batch: Packed, slots: Slots) -> Sequence[Tensor]:
    if batch.slot is None:
        images = cast(Sequence[Tensor], batch.images)
        return PaddedImages(images.canvas[: len(images)], images.sizes) if isinstance(images, PaddedImages) else images
    shape = (len(batch.sizes), *batch.canvas, 3)
    return PaddedImages(slots.copy(batch.slot, math.prod(shape)).view(shape), batch.sizes)
