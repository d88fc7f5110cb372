"""`catch("nms", …)`: do the reader's inputs tell wrong answers from right ones?"""

import html
from dataclasses import dataclass
from typing import Any

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.compare import given, problem
from coursekit.lessons.checking.outcome import Outcome, Plain, attempt, meant, plain
from coursekit.lessons.checking.verdict import find
from coursekit.lessons.exercise import Case, Exercise, Mistake


@dataclass(frozen=True)
class Caught:
    """How many wrong answers some inputs caught, and a case that the first of those that got through fails on."""

    caught: list[str]
    through: list[str]
    look: str

    def __str__(self) -> str:
        whole = len(self.caught) + len(self.through)
        text = f"{len(self.caught)} of {whole} caught"
        if not self.through:
            return f"{text}: not one got through."
        return f"{text}; got through: {'; '.join(self.through)}.\nLook at this case: {self.look}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        marks = [("✓ caught", one) for one in self.caught] + [("✗ got through", one) for one in self.through]
        left = '<td style="text-align: left">'
        rows = "".join(f"<tr>{left}{mark}</td>{left}{html.escape(words)}</td></tr>" for mark, words in marks)
        look = f"<div>Look at this case: <code>{html.escape(self.look)}</code></div>" if self.look else ""
        head = '<tr><th></th><th scope="col" style="text-align: left">an answer in which …</th></tr>'
        return f"<b>{len(self.caught)} of {len(marks)} caught</b><table>{head}{rows}</table>{look}"


def catch(name: str, *inputs: tuple[Any, ...]) -> Caught:
    """Run inputs against the wrong answers that the lesson brings along.

    Args:
        name: of the exercise.
        inputs: each a tuple of arguments, as in `catch("nms", (boxes, scores, 0.5), (others, scores, 0.5))`.

    Raises:
        ConfigError: there is no such exercise, it brings no wrong answers, or the course's own answer can't take the
            inputs.
    """
    exercise = find(name)
    if not exercise.mistakes:
        raise ConfigError(f"catch: {name} brings no wrong answers.")
    cases = [_case(exercise, args) for args in inputs]
    caught: list[Mistake] = []
    through: list[Mistake] = []
    for mistake in exercise.mistakes:
        (caught if any(fails(exercise, mistake, *one) for one in cases) else through).append(mistake)
    look = _telling(exercise, through[0]) if through else ""
    return Caught([one.words for one in caught], [one.words for one in through], look)


def fails(exercise: Exercise, mistake: Mistake, case: Case, right: Outcome) -> bool:
    """Whether a wrong answer gives something else than the reference, or changes its arguments."""
    assert right.came is not None
    assert right.given is not None
    return problem(attempt(exercise, mistake.answer, case), right.came, right.given, exercise.tolerance) is not None


def _case(exercise: Exercise, args: Any) -> tuple[Case, Outcome]:
    """A reader's input as a case, and what the reference gives on it."""
    names = exercise.argument_names()
    if not isinstance(args, tuple):
        raise ConfigError(f"catch: each input is a tuple of arguments, such as ({', '.join(names)}).")
    case = Case("yours", args)
    outcome = attempt(exercise, exercise.reference, case)
    if outcome.raised:
        said = f"catch: the course's {exercise.name} can't take ({given(names, args)}): {outcome.raised}."
        raise ConfigError(f"{said} It is called with ({', '.join(names)}).")
    return case, outcome


def _telling(exercise: Exercise, mistake: Mistake) -> str:
    """The smallest of the check's cases that a wrong answer fails on."""
    cases = zip(exercise.all_cases(), meant(exercise), strict=True)
    failed = [case for case, right in cases if fails(exercise, mistake, case, right)]
    case = min(failed, key=lambda one: _numbers(plain(one.args)))
    return f"{case.words}: {given(exercise.argument_names(), case.args)}"


def _numbers(value: Plain) -> int:
    """How many numbers there are to read in arguments."""
    kind, content = value
    if kind in ("tensor", "array"):
        return int(content.numel())
    parts = content if kind == "list" else content.values() if kind == "dict" else ()
    return sum(map(_numbers, parts)) if kind in ("list", "dict") else 1
