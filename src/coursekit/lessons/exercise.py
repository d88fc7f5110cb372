"""What an exercise is made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """Arguments to try an answer with, and in words what is special about them ("Tried on …").

    Attributes:
        words: what is special about the case.
        args: the positional arguments.
    """

    words: str
    args: tuple[Any, ...]


def case(words: str, *args: Any) -> Case:
    """Return a case, written as you would write the call."""
    return Case(words, args)


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that people give.

    Attributes:
        answer: the function or class.
        words: how the check names the mistake to an intern. Without words it is only tested that the check rejects it.
    """

    answer: Answer
    words: str = ""


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson: see docs/writing-lessons.md.

    Attributes:
        name: the function or class that the intern writes; `coursekit` has one of the same name.
        lesson: number of its lesson.
        minutes: how long it takes.
        reference: the course's own answer.
        cases: draws the arguments to try, simplest first; the same on each call with the same generator.
        hints: three, from a nudge to nearly the code; the first is named after a symptom.
        wrong: answers that the check must reject. It recognizes those with words, and `catch` runs the reader's inputs
            against them.
        right: answers unlike the reference that the check must accept.
        library: functions elsewhere that do the same, such as `torchvision.ops.nms`. An answer made of one is borrowed.
        call: how to use an answer with the arguments of a case. A class is constructed, then called.
        twin: a faster function with equal results. Training runs it once the intern's answer is correct.
        tolerance: relative and absolute, for float32; for float64, divided by 100,000.
        regions: how many places of the cell the intern fills in.
        results: how messages name the values of a tuple that it returns: "first result" without names.
    """

    name: str
    lesson: int
    minutes: int
    reference: Answer
    cases: Callable[[torch.Generator], Iterator[Case]]
    hints: tuple[str, str, str]
    wrong: tuple[Wrong, ...] = ()
    right: tuple[Answer, ...] = ()
    library: tuple[str, ...] = ()
    call: Callable[..., Any] = lambda answer, *args: answer(*args)
    twin: Answer | None = None
    tolerance: float = 1e-5
    regions: int = 1
    results: tuple[str, ...] = ()

    @property
    def mistakes(self) -> tuple[Wrong, ...]:
        """The wrong answers that the check names to an intern."""
        return tuple(wrong for wrong in self.wrong if wrong.words)

    def argument_names(self) -> list[str]:
        """Return the names of a case's arguments, for messages.

        They are those of `call`; where it passes the rest on, as `*rest`, those of the reference.
        """
        parameters = list(signature(self.call).parameters.values())[1:]  # without the answer
        own = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
        if len(own) == len(parameters):
            return own
        takes = signature(self.reference).parameters.values()
        return own + [parameter.name for parameter in takes if parameter.kind is not parameter.KEYWORD_ONLY][len(own) :]

    def all_cases(self) -> list[Case]:
        """Return the cases of a check, the same each time."""
        return list(self.cases(torch.Generator().manual_seed(0)))
