"""What an answer returns on a case, as plain data: the process that compares it runs none of the intern's code."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit.lessons.exercise import Answer, Case, Exercise

Plain = tuple[Any, ...]  # (kind, value): see `plain`
MAX_DIMENSIONS = 16  # of a tensor; to load one of 100,000 crashes torch


@dataclass(frozen=True)
class Outcome:
    """What an answer did on one case.

    Attributes:
        value: what it returned; None if it raised.
        args: the arguments after the call; None if it raised.
        raised: the exception and its line, in words; None if there was none.
    """

    value: Plain | None
    args: Plain | None
    raised: str | None = None


def attempt(exercise: Exercise, answer: Answer, case: Case) -> Outcome:
    """Use an answer on a copy of a case. Whatever it raises is part of the outcome."""
    args = copied(case.args)
    torch.manual_seed(0)
    try:
        return Outcome(plain(exercise.call(answer, *args)), plain(args))
    except Exception as error:
        return Outcome(None, None, error_text(error))


def outcomes(exercise: Exercise, answer: Answer) -> Iterator[Outcome]:
    """Use an answer on all cases, one after the other, in this process."""
    return (attempt(exercise, answer, case) for case in exercise.all_cases())


@cache
def expected_outcomes(exercise: Exercise) -> list[Outcome]:
    """Return what the reference does on the cases of the check; computed once."""
    return list(outcomes(exercise, exercise.reference))


def error_text(error: BaseException) -> str:
    """Return an exception in a line or two, with the intern's line if it comes from one.

    Lines are counted as JupyterLab counts them: `%%exercise`, which is not stored, is line 1.
    """
    if isinstance(error, SyntaxError) and error.lineno:
        line = (error.text or "").strip()
        return f"{type(error).__name__}: {error.msg}\n    line {error.lineno + 1} of your cell: {line}"[:500]
    text = f"{type(error).__name__}: {error}"[:500]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "my_detector" in frame.filename]
    if not frames or frames[-1].lineno is None:
        return text
    return f"{text}\n    line {frames[-1].lineno + 1} of your cell: {frames[-1].line}"


def plain(value: Any, depth: int = 0) -> Plain:
    """Return a value as (kind, plain value), by its exact type. An object that claims to equal all is "other"."""
    kind = type(value)
    if isinstance(value, Tensor) and value.is_meta:  # it has no numbers
        return "other", f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')} without numbers"
    if isinstance(value, Tensor) and value.ndim > MAX_DIMENSIONS:
        return "other", f"a tensor of {value.ndim:,} dimensions"
    if isinstance(value, Tensor):
        return "tensor", value.detach().as_subclass(Tensor).cpu().clone()
    if kind is np.ndarray and value.dtype.kind in "biuf":
        return "array", torch.from_numpy(np.array(value))
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is None or kind in (bool, int, float, str):
        return ("bool" if kind is bool else "number" if kind in (int, float) else kind.__name__), value
    if kind in (list, tuple) and depth < 6:
        return "list", [plain(item, depth + 1) for item in value]
    if kind is dict and depth < 6 and any(type(key) is int for key in value):  # such as ids: 7 is not "7"
        return "mapping", [("list", [plain(key), plain(item, depth + 1)]) for key, item in value.items()]
    if kind is dict and depth < 6:
        return "dict", {str(key): plain(item, depth + 1) for key, item in value.items()}
    return "other", kind.__name__


def copied(value: Any) -> Any:
    """Return the same values in new memory, so that one use of a case doesn't spoil the next."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value
