"""`catch("nms", …)`: do the reader's inputs tell wrong answers from right ones?"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.compare_outcomes import mismatch
from coursekit.lessons.checking.outcome import Outcome, Plain, attempt, expected_outcomes, plain
from coursekit.lessons.checking.shapes import wrong_shape
from coursekit.lessons.checking.verdict import find
from coursekit.lessons.checking.wording import shown_args
from coursekit.lessons.course import badge_of
from coursekit.lessons.exercise import Case, Exercise, Wrong
from coursekit.lessons.gradients import is_trained, trained
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.workbook import Workbook


@dataclass(frozen=True)
class Caught:
    """Which wrong answers some inputs caught.

    Attributes:
        exercise: its name.
        caught: the mistakes of the answers that failed on an input.
        through: the mistakes of those that got through.
        look: a case on which the first of those fails; empty if none got through.
        is_shown: whether to give away the first of those, and that case.
        answers: for each mistake in `through`, an answer that makes it.
    """

    exercise: str
    caught: list[str]
    through: list[str]
    look: str
    is_shown: bool = False
    answers: Sequence[Wrong] = ()

    @property
    def summary(self) -> str:
        """How many were caught, and how many got through."""
        count = len(self.caught) + len(self.through)
        summary = f"{len(self.caught)} of {count} wrong answers caught; {len(self.through) or 'none'} got through."
        counts = not self.through and badge_of(self.exercise) == "delegate"
        return f"{summary} Your test is complete: a correct {self.exercise} counts." if counts else summary

    def give_away(self, number: int = 0) -> str:
        """Return a mistake that got through, and a case that would catch it. After the last comes the first."""
        number %= len(self.through)
        look = _in_words(find(self.exercise), self.case(number)) if number else self.look
        return f"This got through: {self.through[number]}.\nThis would catch it: {look}"

    def case(self, number: int = 0) -> Case:
        """Return the smallest of the check's cases that would catch a mistake that got through; see `give_away`."""
        return _smallest_case(find(self.exercise), self.answers[number % len(self.answers)])

    def __str__(self) -> str:
        lines = [self.summary, *(f"  ✓ {words}" for words in self.caught)]
        if self.through and self.is_shown:
            lines.append(self.give_away())
        elif self.through:
            lines.append(f'To see one of those that got through: catch("{self.exercise}", …, show=True)')
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(words)}</li>" for words in self.caught)
        caught = f"<details><summary>caught: answers in which …</summary><ul>{items}</ul></details>" if items else ""
        away = html.escape(self.give_away()) if self.through and self.is_shown else ""
        return f'<b>{self.summary}</b>{caught}<div style="white-space: pre-wrap">{away}</div>'


def catch(workbook: Workbook, name: str, *inputs: tuple[Any, ...], show: bool = False) -> Caught:
    """Run inputs against the wrong answers that come with an exercise. If none gets through, it is remembered.

    Args:
        workbook: the progress is beside it.
        name: name of the exercise.
        inputs: each a tuple of arguments, as in `catch("nms", (boxes, scores, 0.5), (others, scores, 0.5))`.
        show: give away one that got through.

    Raises:
        ConfigError: there is no such exercise, it has no wrong answers, or the reference can't take the inputs.
    """
    exercise = find(name)
    if not exercise.mistakes:
        raise ConfigError(f"catch: {name} has no wrong answers to catch.")
    tries = [one_try for args in inputs for one_try in _tries(exercise, args)]
    caught: list[Wrong] = []
    through: list[Wrong] = []
    for wrong in exercise.mistakes:
        (caught if any(_fails(exercise, wrong, *one_try) for one_try in tries) else through).append(wrong)
    if not through:
        record = progress.record(workbook, name)
        progress.save(workbook, name, msgspec.structs.replace(record, caught=True))
    look = _in_words(exercise, _smallest_case(exercise, through[0])) if through else ""
    missed = dict.fromkeys(wrong.words for wrong in through)  # several answers can make the same mistake
    found = [words for words in dict.fromkeys(wrong.words for wrong in caught) if words not in missed]
    answers = [next(wrong for wrong in through if wrong.words == words) for words in missed]
    return Caught(name, found, [*missed], look, show, answers)


def _fails(exercise: Exercise, wrong: Wrong, case: Case, expected: Outcome) -> bool:
    """Return whether a wrong answer gives something other than the reference, or changes its arguments."""
    return mismatch(attempt(exercise, wrong.answer, case), expected, exercise.tolerance) is not None


def _tries(exercise: Exercise, args: Any) -> list[tuple[Case, Outcome]]:
    """Return a reader's input as cases, and what the reference does on each.

    Where the check asks for gradients, there is a second case that asks for them.
    """
    names = exercise.argument_names()
    if not isinstance(args, tuple):
        raise ConfigError(f"catch: each input is a tuple of arguments, such as ({', '.join(names)}).")
    cases = [Case("yours", args)]
    if any(is_trained(case.args) for case in exercise.all_cases()):
        cases.append(trained("yours, in training", *args))
    outcomes = [attempt(exercise, exercise.reference, case) for case in cases]
    for outcome in outcomes:
        if problem := outcome.raised or wrong_shape(exercise, args):
            call = f"the course's {exercise.name} can't take ({shown_args(names, args)}): {problem}."
            raise ConfigError(f"catch: {call} It is called with ({', '.join(names)}).")
    return list(zip(cases, outcomes, strict=True))


def _smallest_case(exercise: Exercise, wrong: Wrong) -> Case:
    """Return the smallest of the check's cases on which a wrong answer fails."""
    cases = zip(exercise.all_cases(), expected_outcomes(exercise), strict=True)
    failed = [case for case, expected in cases if _fails(exercise, wrong, case, expected)]
    return min(failed, key=lambda case: _count_numbers(plain(case.args)))


def _in_words(exercise: Exercise, case: Case) -> str:
    return f"{case.words}: {shown_args(exercise.argument_names(), case.args)}"


def _count_numbers(value: Plain) -> int:
    """Return how many numbers there are to read in a value."""
    kind, content = value
    if kind in ("tensor", "array"):
        return int(content.numel())
    parts = content if kind == "list" else content.values() if kind == "dict" else ()
    return sum(map(_count_numbers, parts)) if kind in ("list", "dict") else 1
