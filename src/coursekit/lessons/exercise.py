"""What an exercise is made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """Arguments to try an answer with, and what is special about them, in words that end a sentence with "Tried on"."""

    words: str
    args: tuple[Any, ...]


def case(words: str, *args: Any) -> Case:
    """Write a case as one would write the call."""
    return Case(words, args)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give, and what it looks like from outside, in words."""

    words: str
    answer: Answer


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson: see docs/writing-lessons.md.

    Attributes:
        name: of the function or class that the intern writes; `coursekit` has one of the same name.
        lesson: its number.
        minutes: that it takes.
        reference: the course's own answer.
        cases: draws the arguments to try, simplest first; the same on each call with the same generator.
        hints: three, from a nudge to nearly the code; the first is named after a symptom.
        mistakes: that the check recognises, and that `catch` runs the reader's inputs against.
        library: functions elsewhere that do the same, such as `torchvision.ops.nms`: an answer made of one is borrowed.
        call: how to use an answer with the arguments of a case; a class is made, then called.
        twin: a faster function that is equal, taken for training once an answer is correct.
        tolerance: relative and absolute, for float32; float64 is held to a hundred-thousandth of it.
    """

    name: str
    lesson: int
    minutes: int
    reference: Answer
    cases: Callable[[torch.Generator], Iterator[Case]]
    hints: tuple[str, str, str]
    mistakes: tuple[Mistake, ...] = ()
    library: tuple[str, ...] = ()
    call: Callable[..., Any] = lambda answer, *args: answer(*args)
    twin: Answer | None = None
    tolerance: float = 1e-5

    def argument_names(self) -> list[str]:
        """Of a case, for messages: those of `call` where it is the exercise's own, else those of the reference.

        Without what can't be given by position: that is no part of a case.
        """
        names = list(signature(self.call).parameters)
        if names != ["answer", "args"]:
            return names[1:]
        every = signature(self.reference).parameters
        return [name for name, one in every.items() if one.kind is not one.KEYWORD_ONLY]

    def all_cases(self) -> list[Case]:
        """The cases of a check, the same each time."""
        return list(self.cases(torch.Generator().manual_seed(0)))
