"""`check("xywh_to_xyxy")`: is the answer in the workbook right, and if not, where not?"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from coursekit.errors import SettingError
from coursekit.lessons import workbook
from coursekit.lessons.exercises import EXERCISES, Exercise

State = Literal["not started", "not yet", "correct"]


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    exercise: str
    state: State
    message: str

    def __str__(self) -> str:
        sign = {"not started": "○", "not yet": "✗", "correct": "✓"}[self.state]
        return f"{sign} {self.exercise}: {self.state}. {self.message}"

    __repr__ = __str__


class NotCorrectError(AssertionError):
    """Raised under COURSEKIT_STRICT=1 where an answer is anything but correct."""


def check(name: str) -> Verdict:
    """Try an answer of the workbook on the exercise's cases.

    Raises:
        SettingError: there is no such exercise.
        NotCorrectError: under COURSEKIT_STRICT=1, where the answer is not correct.
    """
    if name not in EXERCISES:
        raise SettingError(f"check: no exercise {name!r}. There is {', '.join(EXERCISES)}.")
    verdict = judge(name, EXERCISES[name])
    if verdict.state != "correct" and os.environ.get("COURSEKIT_STRICT") == "1":
        raise NotCorrectError(str(verdict))
    return verdict


def chosen(name: str) -> Callable[..., Any]:
    """The function that a name stands for from now on: the intern's where it is correct, else the reference."""
    if judge(name, EXERCISES[name]).state == "correct":
        answer: Callable[..., Any] = getattr(workbook.answer(name), name)
        return answer
    return EXERCISES[name].reference


def judge(name: str, exercise: Exercise) -> Verdict:
    """The verdict on an answer. Whatever the answer raises is part of it."""
    try:
        answer = getattr(workbook.answer(name), name)
        for case in exercise.cases(torch.Generator().manual_seed(0)):
            problem = compare(answer, exercise.reference, case)
            if problem:
                return Verdict(name, "not yet", f"{problem} Until it is right, {name} stands for the reference.")
    except (FileNotFoundError, NotImplementedError):
        return Verdict(name, "not started", f"{name} stands for the reference; write yours whenever you like.")
    except Exception as error:
        return Verdict(
            name,
            "not yet",
            f"It raised {type(error).__name__}: {error}. Until it is right, {name} stands for the reference.",
        )
    return Verdict(name, "correct", f"From here on, {name} is yours.")


def compare(answer: Callable[..., Any], reference: Callable[..., Any], case: tuple[Any, ...]) -> str | None:
    """What is wrong with an answer on one case, or None: type, shape, dtype, values, inputs left as they were."""
    expected = reference(*_copy(case))
    given = _copy(case)
    came = answer(*given)
    tried = f"Tried on {_show(case[0])}:"
    if not isinstance(came, Tensor):
        return f"{tried} a tensor was expected, {type(came).__name__} came."
    if came.shape != expected.shape:
        return f"{tried} the shape {tuple(expected.shape)} was expected, {tuple(came.shape)} came."
    if came.dtype != expected.dtype:
        return f"{tried} {expected.dtype} was expected, {came.dtype} came."
    if not torch.allclose(came.double(), expected.double(), rtol=1e-5, atol=1e-5):
        return f"{tried} {_show(expected)} was expected, {_show(came)} came."
    if any(
        isinstance(value, Tensor) and not torch.equal(value, before) for value, before in zip(given, case, strict=True)
    ):
        return f"{tried} the values are right, but the input was changed on the way."
    return None


def _copy(case: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in case)


def _show(value: Tensor) -> str:
    if value.numel() > 12:
        return f"a tensor of shape {tuple(value.shape)}"
    return str([[round(x, 2) for x in row] for row in value.tolist()] if value.ndim == 2 else value.tolist())
