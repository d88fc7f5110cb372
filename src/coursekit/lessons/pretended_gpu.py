"""A GPU, pretended on a CPU: its tensors hold numbers, but don't mix with those of the CPU.

So an answer that chooses rows or reads numbers, which `meta` tensors can't do, can be asked whether it would run on
a GPU.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from coursekit.lessons.exercise import Answer, Case, case
from coursekit.lessons.meta_device import is_elsewhere

GPU = torch.device("meta")  # what `x.device` is: a device that torch knows in every build
WORDS = "{} on a GPU (here a pretended one: its tensors don't mix with the CPU's)"
MIXED = "a tensor on the GPU and one on the CPU in one operation: a new tensor needs device=…"
LEFT = "the arguments are on a GPU, but the result is on the CPU: a new tensor needs device=…"
NO_NUMPY = "a tensor on the GPU has no numpy()"
GENERATOR = "random numbers on the {}, from a generator on the {}: what draws them needs device=…"
REFUSED = (MIXED, LEFT, NO_NUMPY, GENERATOR.partition(" {}")[0])
MAY_MIX = ("_to_copy", "index")  # a GPU's tensor takes positions and copies from the CPU


def on_a_gpu(*args: Any, what: str = "boxes") -> Case:
    """Return a case whose tensors are on the pretended GPU; `what` they are, for the message."""
    return case(WORDS.format(what), *on_gpu(list(args)))


def anywhere(answer: Answer, *args: Any) -> Any:
    """Call an answer that is a function. On the pretended GPU, return only that its result is there, too.

    What can't be pretended, passes.
    """
    if not is_elsewhere(args):
        return answer(*args)
    try:
        with _NumbersToGpu(), PretendedGpu():
            result = answer(*args)
            from_gpu(result)
    except Exception as error:
        if isinstance(error, OSError) or str(error).startswith(REFUSED):
            raise
        return "a result on the GPU"
    return "a result on the GPU" if any(isinstance(part, Tensor) for part in tree_flatten(result)[0]) else result


def anywhere_or_here(answer: Answer, *args: Any) -> Any:
    """Call an answer as `anywhere` does. Its result may be on the CPU, where a data loader works."""
    try:
        return anywhere(answer, *args)
    except RuntimeError as error:
        if is_elsewhere(args) and str(error).startswith(LEFT):
            return "a result on the GPU"
        raise


def index_anywhere(answer: Answer, *args: Any) -> Any:
    """Call an answer like `anywhere`, if its result serves as an index, which may be on the CPU."""
    if not is_elsewhere(args):
        return answer(*args)
    return anywhere(lambda first, *rest: answer(first, *rest).to(first.device), *args)


def module_anywhere(module: nn.Module, *args: Any) -> Any:
    """Call a module as `anywhere` calls a function. On the pretended GPU, its weights are there, too."""
    if not is_elsewhere(args):
        return module(*args)
    weights = on_gpu(dict(module.named_parameters()) | dict(module.named_buffers()))
    return anywhere(lambda *inputs: functional_call(module, weights, inputs), *args)


class _OnGpu(Tensor):
    """Stands for a tensor on a GPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, on_cpu: Tensor) -> "_OnGpu":
        made: _OnGpu = Tensor._make_wrapper_subclass(
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=on_cpu.device,
            dispatch_device=True,
        )
        made.on_cpu = on_cpu
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.tolist:  # torch refuses these two for subclasses
            return args[0].on_cpu.tolist()
        if func is Tensor.new_tensor:
            return cls(args[0].on_cpu.new_tensor(*args[1:], **kwargs or {}))
        if func is Tensor.numpy:
            raise TypeError(f"{NO_NUMPY}: call cpu() first")
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs or {})

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.on_cpu}, on a GPU"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _run(func, args, kwargs or {})


class _GpuGenerator(torch.Generator):
    """Stands for a random generator on a GPU."""

    device = GPU


class PretendedGpu(TorchDispatchMode):
    """In this block, tensors may be made on the device `GPU`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # torch's compiler isn't used here, and takes a second to load
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _NumbersToGpu(TorchFunctionMode):
    """In this block, `torch.tensor([…], device=GPU)` keeps its numbers, and a generator draws on its own device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") is not None:
            made = func(*args, **kwargs | {"device": "cpu"})
            return _OnGpu(made) if torch.device(kwargs["device"]) == GPU else made
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and isinstance(generator := kwargs.get("generator"), torch.Generator):
            _refuse_elsewhere(generator, result)
        return result


def _refuse_elsewhere(generator: torch.Generator, drawn: Tensor) -> None:
    """Refuse numbers that are drawn on another device than their generator's, as torch does."""
    places = [isinstance(drawn, _OnGpu), isinstance(generator, _GpuGenerator)]
    if places[0] != places[1]:
        raise RuntimeError(GENERATOR.format(*("GPU" if is_there else "CPU" for is_there in places)))


def on_gpu(value: Any) -> Any:
    """Return the same value with all its tensors on the pretended GPU, and generators that draw there."""

    def moved(part: Any) -> Any:
        if isinstance(part, torch.Generator):
            return _GpuGenerator().set_state(part.get_state())
        return _OnGpu(part) if isinstance(part, Tensor) else part

    return tree_map(moved, value)


def from_gpu(value: Any) -> Any:
    """Return the same value with plain tensors.

    Raises:
        RuntimeError: a tensor in it is on the CPU.
    """
    if any(isinstance(part, Tensor) and not isinstance(part, _OnGpu) for part in tree_flatten(value)[0]):
        raise RuntimeError(LEFT)
    return tree_map(lambda part: part.on_cpu if isinstance(part, _OnGpu) else part, value)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and return its tensors on the device that a GPU's would be on."""
    if func is torch.ops.prim.device.default:
        return GPU if isinstance(args[0], _OnGpu) else args[0].device
    parts, form = tree_flatten((args, kwargs))
    ours = {id(part.on_cpu): part for part in parts if isinstance(part, _OnGpu)}
    if ours and any(map(_is_on_cpu, parts)) and not _may_mix(func, args):
        raise RuntimeError(f"{MIXED} ({func._schema.name.removeprefix('aten::')})")
    device = kwargs.get("device")
    is_there = device.type == GPU.type if isinstance(device, torch.device) else bool(ours)
    if func is torch.ops.aten.copy_.default:
        is_there = isinstance(args[0], _OnGpu)
    args, kwargs = tree_unflatten([_plain(part) for part in parts], form)
    result = func(*args, **kwargs)

    def placed(part: Any) -> Any:
        if not isinstance(part, Tensor) or not is_there:
            return part
        return ours[id(part)] if id(part) in ours else _OnGpu(part)  # of an operation in place, the same object

    return tree_map(placed, result)


def _plain(part: Any) -> Any:
    if isinstance(part, torch.device):
        return torch.device("cpu")
    return part.on_cpu if isinstance(part, _OnGpu) else part


def _is_on_cpu(part: Any) -> bool:
    """Return whether this is a tensor on the CPU; one without dimensions may be mixed, as a number."""
    return isinstance(part, Tensor) and not isinstance(part, _OnGpu) and part.ndim > 0


def _may_mix(func: Any, args: Any) -> bool:
    name = func._schema.name.removeprefix("aten::")
    if name == "index_put_":
        return isinstance(args[0], _OnGpu) and not _is_on_cpu(args[2])
    return name == "copy_" or (name in MAY_MIX and isinstance(args[0], _OnGpu))


on_gpu(torch.zeros(1)) + 1  # the first operation takes a second to load parts of torch: not in the time of an answer
