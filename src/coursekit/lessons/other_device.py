"""Would an answer run on a GPU? Asked without one: on torch's device `meta`, whose tensors have shapes and no numbers."""

from typing import Any

import torch
from torch import Tensor

from coursekit.lessons.exercise import Answer, Case, case

WORDS = "boxes on another device, as on a GPU (here `meta`, whose tensors hold no numbers)"
MIXED = "is not on the expected device"  # torch's words where the tensors of an operation lie on two devices


def elsewhere(*args: Any) -> Case:
    """A case whose tensors lie on another device."""
    return case(WORDS, *(one.to("meta") if isinstance(one, Tensor) else one for one in args))


def is_elsewhere(args: tuple[Any, ...]) -> bool:
    """Whether a case is one of these."""
    return any(isinstance(one, Tensor) and one.is_meta for one in args)


def anywhere(answer: Answer, *args: Any) -> Any:
    """The usual call of an answer that is a function; on another device only where its result lies.

    What asks for numbers there, as `int(x)` does, can't be tried, and is let pass: on a GPU it would be slow, not wrong.
    """
    if not is_elsewhere(args):
        return answer(*args)
    try:
        found = answer(*args)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        if MIXED in str(error):
            raise
        found = torch.empty(0, device="meta")
    return f"a tensor on the device {found.device}" if isinstance(found, Tensor) else found
