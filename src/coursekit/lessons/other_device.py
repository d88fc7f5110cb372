"""Would an answer run on a GPU?

torch's `meta` device, whose tensors have shapes but no data, answers that without one.
"""

from typing import Any

import torch
from torch import Tensor

from coursekit.lessons.exercise import Answer, Case, case

WORDS = "boxes on another device, such as a GPU (here `meta`, whose tensors hold no numbers)"
MIXED = "is not on the expected device"  # torch's message if the tensors of an operation are on two devices


def elsewhere(*args: Any) -> Case:
    """Return a case whose tensors are on another device."""
    return case(WORDS, *(arg.to("meta") if isinstance(arg, Tensor) else arg for arg in args))


def is_elsewhere(args: tuple[Any, ...]) -> bool:
    """Return whether these are the arguments of such a case."""
    return any(isinstance(arg, Tensor) and arg.is_meta for arg in args)


def anywhere(answer: Answer, *args: Any) -> Any:
    """Call an answer that is a function. On another device, return only where its result is.

    An answer that needs numbers there, such as `int(x)`, can't be tried, and passes: on a GPU it would be slow, not
    wrong.
    """
    if not is_elsewhere(args):
        return answer(*args)
    try:
        result = answer(*args)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        if MIXED in str(error):
            raise
        result = torch.empty(0, device="meta")
    return f"a tensor on the device {result.device}" if isinstance(result, Tensor) else result
