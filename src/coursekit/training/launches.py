"""Count what a step asks of a GPU, without a GPU.

Python launches each operation, and launching takes longer than computing a small one. So a GPU is idle where a step
launches thousands of small operations, or where Python waits for a result before it goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU = torch.device("cpu")

# They allocate memory, or look at shapes; like views, they launch nothing.
LAUNCH_NOTHING = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_", "_unsafe_view",
    "is_same_size", "_record_function_enter_new", "_record_function_exit",
}  # fmt: skip
# The size of their result depends on the data, or the result goes to Python.
WAIT = {
    "nonzero", "masked_select", "unique", "_unique", "_unique2", "unique_consecutive", "unique_dim", "bincount",
    "_local_scalar_dense", "equal", "nms",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"}  # they wait if an index is a mask
TO_PYTHON = {Tensor.tolist: "tolist", Tensor.numpy: "numpy", Tensor.cpu: "cpu"}  # on a GPU they copy, and wait
WHERE = {torch.where, Tensor.where}  # a number among the arguments is copied to the GPU, and Python waits


@dataclass
class Launches:
    """The operations of a step.

    Attributes:
        launched: how often each was launched, by name. One of them may start several kernels.
        waited: how often Python waited for the result of each, by name.
    """

    launched: Counter[str] = field(default_factory=Counter)
    waited: Counter[str] = field(default_factory=Counter)

    @property
    def launches(self) -> int:
        """Return the number of operations that were launched."""
        return self.launched.total()

    @property
    def waits(self) -> int:
        """Return how often Python waited for a result."""
        return self.waited.total()


@contextmanager
def count_launches(device: torch.device = CPU) -> Iterator[Launches]:
    """Count what the block launches on a device, forward and backward.

    To count on a CPU what a GPU would run, also enter `core.device.as_on_gpu()`. That counts too many: a GPU's program
    would also compute some numbers on the CPU, for which nobody waits. And copies between a GPU and the CPU's memory
    can't be counted there, because there are none.

    >>> numbers = torch.tensor([3.0, -1.0, 2.0])
    >>> with count_launches() as counted:
    ...     positive = numbers[numbers > 0]  # a comparison and an index, whose result may have any length
    ...     total = positive.sum().item()
    >>> counted.launches, counted.waits
    (4, 2)
    """
    counted = Launches()
    with _Methods(counted, device), _Operations(counted, device):
        yield counted


class _Operations(TorchDispatchMode):
    """Count operations as they reach the device, after autograd and autocast."""

    def __init__(self, counted: Launches, device: torch.device) -> None:
        super().__init__()
        self.counted, self.device = counted, device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        if _is_on(self.device, (args, outputs)):
            if not func.is_view and name not in LAUNCH_NOTHING:
                self.counted.launched[name] += 1
            if name in WAIT or (name in INDEXING and _has_mask(args[1])):
                self.counted.waited[name] += 1
        return outputs


class _Methods(TorchFunctionMode):
    """Count calls that wait for a GPU, but are no operations on a CPU, or not such that wait."""

    def __init__(self, counted: Launches, device: torch.device) -> None:
        super().__init__()
        self.counted, self.device = counted, device

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = TO_PYTHON.get(func)
        if func in WHERE and any(isinstance(argument, int | float) for argument in args):
            name = "where"
        if name and _is_on(self.device, args):
            self.counted.waited[name] += 1
        return func(*args, **(kwargs or {}))


def _is_on(device: torch.device, values: Any) -> bool:
    return any(isinstance(value, Tensor) and value.device.type == device.type for value in tree_leaves(values))


def _has_mask(indices: list[Tensor | None]) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
