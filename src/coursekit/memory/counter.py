"""How many bytes tensors hold, counted from a storage's first tensor to its last."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # bytes: CUDA's allocator gives nothing smaller (c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize)


class MemoryCounter(TorchDispatchMode):
    """Counts what is alive while it is active, of real tensors and of fake ones, which have a size and no content.

    It looks at what each operation returns. A storage that it has not met counts until it is freed, which a weak
    reference tells. What an operation takes for itself and gives back, such as a workspace, it can't see.

    Attributes:
        kind: what new storages are for, such as "activations"; change it as the work goes on.
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
        self._known: dict[int, tuple[int, Any]] = {}  # id of a living storage: its number, and the reference
        self._kinds: list[str] = []  # by number
        self._changes: list[tuple[int, int]] = []  # in the order of time: number, bytes more or fewer

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and look at its outputs."""
        outputs = func(*args, **(kwargs or {}))
        for one in tree_leaves(outputs):
            if isinstance(one, Tensor):
                self._number(one)
        return outputs

    def claim(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Say what tensors are for, whether made before or while counting."""
        for tensor in tensors:
            self._kinds[self._number(tensor)] = kind

    def at_peak(self) -> dict[str, int]:
        """Bytes of each kind at the moment of the peak, by what each storage is known for now."""
        held, most, moment = 0, 0, 0
        for place, (_, size) in enumerate(self._changes, 1):
            held += size
            if held > most:
                most, moment = held, place
        sizes: Counter[str] = Counter()
        for number, size in self._changes[:moment]:
            sizes[self._kinds[number]] += size
        return dict(sizes)

    def _number(self, tensor: Tensor) -> int:
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
