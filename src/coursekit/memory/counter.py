"""Count the bytes that tensors hold: a storage counts from its first tensor until its last one is freed."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # bytes: the smallest block of CUDA's allocator (c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize)


class MemoryCounter(TorchDispatchMode):
    """Count the bytes of all live storages while active: of real tensors and of fake ones, which have no content.

    The counter looks at what each operation returns. A new storage counts until it is freed, which a weak reference
    reports. It can't see what an operation allocates and frees internally, such as a workspace.

    Attributes:
        kind: the kind of new storages, such as "activations". Change it as the step proceeds.
        live, peak: bytes held now, and at most.

    >>> with MemoryCounter() as counter:
    ...     pair = torch.zeros(1000), torch.zeros(1000)  # 4,000 bytes each, 8 blocks
    ...     del pair
    >>> counter.live, counter.peak
    (0, 8192)
    """

    def __init__(self, kind: str = "rest") -> None:
        super().__init__()
        self.kind, self.live, self.peak = kind, 0, 0
        self._known: dict[int, tuple[int, Any]] = {}  # id of a living storage → its number, its weak reference
        self._kinds: list[str] = []  # by number
        self._changes: list[tuple[int, int]] = []  # in order of time: number, bytes more or fewer

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its outputs."""
        outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor):
                self._number(output)
        return outputs

    def claim(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Set the kind of tensors, whether they were made before or while counting."""
        for tensor in tensors:
            self._kinds[self._number(tensor)] = kind

    def at_peak(self) -> dict[str, int]:
        """Return the bytes of each kind at the peak, by the kind that each storage has now."""
        held, most, moment = 0, 0, 0
        for index, (_, size) in enumerate(self._changes, 1):
            held += size
            if held > most:
                most, moment = held, index
        sizes: Counter[str] = Counter()
        for number, size in self._changes[:moment]:
            sizes[self._kinds[number]] += size
        return dict(sizes)

    def _number(self, tensor: Tensor) -> int:
        """Return the number of a tensor's storage, and count the storage if it is new."""
        storage = tensor.untyped_storage()
        key = id(storage)
        if key not in self._known:
            number, size = len(self._kinds), -(-storage.nbytes() // BLOCK) * BLOCK
            self._kinds.append(self.kind)
            self._known[key] = number, weakref.ref(storage, partial(self._free, key, number, size))
            self._change(number, size)
        return self._known[key][0]

    def _free(self, key: int, number: int, size: int, _: Any) -> None:
        del self._known[key]
        self._change(number, -size)

    def _change(self, number: int, size: int) -> None:
        self._changes.append((number, size))
        self.live += size
        self.peak = max(self.peak, self.live)
