"""`catch("nms", …)`: do the reader's inputs tell wrong answers from right ones?"""

import html
from dataclasses import dataclass
from typing import Any

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.compare import mismatch
from coursekit.lessons.checking.outcome import Outcome, Plain, attempt, expected_outcomes, plain
from coursekit.lessons.checking.verdict import find
from coursekit.lessons.checking.wording import shown_args
from coursekit.lessons.exercise import Case, Exercise, Wrong


@dataclass(frozen=True)
class Caught:
    """Which wrong answers some inputs caught.

    Attributes:
        caught: the mistakes of the answers that failed on an input.
        through: the mistakes of those that got through.
        look: a case on which the first of those fails; empty if none got through.
    """

    caught: list[str]
    through: list[str]
    look: str

    def __str__(self) -> str:
        count = len(self.caught) + len(self.through)
        text = f"{len(self.caught)} of {count} caught"
        if not self.through:
            return f"{text}: none got through."
        return f"{text}; got through: {'; '.join(self.through)}.\nLook at this case: {self.look}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [("✓ caught", words) for words in self.caught] + [("✗ got through", words) for words in self.through]
        left = '<td style="text-align: left">'
        body = "".join(f"<tr>{left}{sign}</td>{left}{html.escape(words)}</td></tr>" for sign, words in rows)
        look = f"<div>Look at this case: <code>{html.escape(self.look)}</code></div>" if self.look else ""
        head = '<tr><th></th><th scope="col" style="text-align: left">an answer in which …</th></tr>'
        return f"<b>{len(self.caught)} of {len(rows)} caught</b><table>{head}{body}</table>{look}"


def catch(name: str, *inputs: tuple[Any, ...]) -> Caught:
    """Run inputs against the wrong answers that come with an exercise.

    Args:
        name: name of the exercise.
        inputs: each a tuple of arguments, as in `catch("nms", (boxes, scores, 0.5), (others, scores, 0.5))`.

    Raises:
        ConfigError: there is no such exercise, it has no wrong answers, or the reference can't take the inputs.
    """
    exercise = find(name)
    if not exercise.mistakes:
        raise ConfigError(f"catch: {name} has no wrong answers to catch.")
    tries = [_case(exercise, args) for args in inputs]
    caught: list[Wrong] = []
    through: list[Wrong] = []
    for wrong in exercise.mistakes:
        (caught if any(_fails(exercise, wrong, *one_try) for one_try in tries) else through).append(wrong)
    look = _smallest_case(exercise, through[0]) if through else ""
    missed = dict.fromkeys(wrong.words for wrong in through)  # several answers can make the same mistake
    return Caught(
        [words for words in dict.fromkeys(wrong.words for wrong in caught) if words not in missed], [*missed], look
    )


def _fails(exercise: Exercise, wrong: Wrong, case: Case, expected: Outcome) -> bool:
    """Return whether a wrong answer gives something other than the reference, or changes its arguments."""
    return mismatch(attempt(exercise, wrong.answer, case), expected, exercise.tolerance) is not None


def _case(exercise: Exercise, args: Any) -> tuple[Case, Outcome]:
    """Return a reader's input as a case, and what the reference does on it."""
    names = exercise.argument_names()
    if not isinstance(args, tuple):
        raise ConfigError(f"catch: each input is a tuple of arguments, such as ({', '.join(names)}).")
    case = Case("yours", args)
    outcome = attempt(exercise, exercise.reference, case)
    if outcome.raised:
        call = f"the course's {exercise.name} can't take ({shown_args(names, args)}): {outcome.raised}."
        raise ConfigError(f"catch: {call} It is called with ({', '.join(names)}).")
    return case, outcome


def _smallest_case(exercise: Exercise, wrong: Wrong) -> str:
    """Return the smallest of the check's cases on which a wrong answer fails, in words."""
    cases = zip(exercise.all_cases(), expected_outcomes(exercise), strict=True)
    failed = [case for case, expected in cases if _fails(exercise, wrong, case, expected)]
    smallest = min(failed, key=lambda case: _count_numbers(plain(case.args)))
    return f"{smallest.words}: {shown_args(exercise.argument_names(), smallest.args)}"


def _count_numbers(value: Plain) -> int:
    """Return how many numbers there are to read in a value."""
    kind, content = value
    if kind in ("tensor", "array"):
        return int(content.numel())
    parts = content if kind == "list" else content.values() if kind == "dict" else ()
    return sum(map(_count_numbers, parts)) if kind in ("list", "dict") else 1
