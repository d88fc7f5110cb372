"""What came of an answer on a case, as plain data: the process that judges it runs none of the intern's code."""

import io
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit.lessons.exercise import Answer, Case, Exercise

Plain = tuple[Any, ...]  # (kind, value): see `plain`


@dataclass(frozen=True)
class Outcome:
    """What came, what the arguments were afterwards; or what was raised, and where."""

    came: Plain | None
    given: Plain | None
    raised: str | None = None


def attempt(exercise: Exercise, answer: Answer, case: Case) -> Outcome:
    """Use an answer on a case of its own. Whatever it raises is part of the outcome."""
    args = copied(case.args)
    torch.manual_seed(0)
    try:
        came = exercise.call(answer, *args)
        return Outcome(plain(came), plain(args))
    except NotImplementedError:
        raise
    except Exception as error:
        return Outcome(None, None, told(error))


@cache
def meant(exercise: Exercise) -> list[Outcome]:
    """What the reference gives on the cases of the check, worked out once."""
    return [attempt(exercise, exercise.reference, case) for case in exercise.all_cases()]


def told(error: BaseException) -> str:
    """An exception in a line or two, with the intern's line where it comes from one."""
    text = f"{type(error).__name__}: {error}"[:500]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "my_detector" in frame.filename]
    if isinstance(error, SyntaxError):
        return f"{text}\n    {(error.text or '').strip()}"
    return f"{text}\n    line {frames[-1].lineno} of your cell: {frames[-1].line}" if frames else text


def plain(value: Any, depth: int = 0) -> Plain:
    """A value as (kind, plain value), by its exact type: an object that claims to be equal to all is "other"."""
    kind = type(value)
    if isinstance(value, Tensor) and value.is_meta:  # it has no numbers
        return "other", f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')} without numbers"
    if isinstance(value, Tensor):
        return "tensor", value.detach().as_subclass(Tensor).cpu().clone()
    if kind is np.ndarray and value.dtype.kind in "biuf":
        return "array", torch.from_numpy(np.ascontiguousarray(value)).clone()
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is None or kind in (bool, int, float, str):
        return ("bool" if kind is bool else "number" if kind in (int, float) else kind.__name__), value
    if kind in (list, tuple) and depth < 6:
        return "list", [plain(one, depth + 1) for one in value]
    if kind is dict and depth < 6:
        return "dict", {str(key): plain(one, depth + 1) for key, one in value.items()}
    return "other", kind.__name__


def copied(value: Any) -> Any:
    """The same values in new memory, so that one use of a case doesn't spoil the next."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list | tuple):
        return type(value)(copied(one) for one in value)
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    return value


def as_bytes(message: Any) -> bytes:
    """For the way from process to process: tensors and plain values only."""
    buffer = io.BytesIO()
    torch.save(message, buffer)
    return buffer.getvalue()


def from_bytes(content: bytes) -> Any:
    """The inverse of `as_bytes`; nothing in it is executed."""
    return torch.load(io.BytesIO(content), weights_only=True)


def outcomes(exercise: Exercise, answer: Answer, send: Callable[[Outcome], None]) -> None:
    """All cases, one after the other."""
    for case in exercise.all_cases():
        send(attempt(exercise, answer, case))
