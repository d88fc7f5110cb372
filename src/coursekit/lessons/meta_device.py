"""Would an answer run on a GPU?

torch's `meta` device, whose tensors have shapes but no data, answers that without one.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from coursekit.lessons.exercise import Answer, Case, case

WORDS = "{} on another device, such as a GPU (here `meta`, whose tensors hold no numbers)"
MIXED = "is not on the expected device"  # torch's message if the tensors of an operation are on two devices


def elsewhere(*args: Any, what: str = "boxes") -> Case:
    """Return a case whose tensors are on another device; `what` they are, for the message."""
    return case(WORDS.format(what), *(_moved(arg) for arg in args))


def _moved(value: Any) -> Any:
    if isinstance(value, list):
        return [_moved(item) for item in value]
    return value.to("meta") if isinstance(value, Tensor) else value


def is_elsewhere(args: tuple[Any, ...]) -> bool:
    """Return whether these are the arguments of such a case."""
    return any(tensor.is_meta for tensor in tensors_in(list(args)))


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in a value: itself, or the items of lists, tuples and dicts, at any depth."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in tensors_in(item)]


def anywhere(answer: Answer, *args: Any) -> Any:
    """Call an answer that is a function. On another device, return only where its result is."""
    return where(lambda: answer(*args)) if is_elsewhere(args) else answer(*args)


def where(run: Callable[[], Any]) -> str:
    """Run an answer on another device, and say where its result is: all of its tensors, or the first that isn't there.

    An answer that needs numbers there, such as `int(x)`, can't be tried, and passes: on a GPU it would be slow, not
    wrong.
    """
    try:
        devices = [tensor.device.type for tensor in tensors_in(run())]
    except (NotImplementedError, RuntimeError, TypeError) as error:
        if MIXED in str(error):
            raise
        devices = []
    return f"a tensor on the device {next((device for device in devices if device != 'meta'), 'meta')}"
