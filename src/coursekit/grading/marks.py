"""Mark an answer: compare its outcomes with the reference's, outside the process that made them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

import msgspec

from coursekit.grading.confine import CPU_SECONDS
from coursekit.grading.hidden import Hidden, hidden_problem
from coursekit.grading.readable import readable, readable_lines
from coursekit.grading.sandbox import Tried
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.compare_outcomes import Problem, mismatch
from coursekit.lessons.checking.inside_process import Trial
from coursekit.lessons.checking.known_mistakes import likely_mistake
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes, outcomes
from coursekit.lessons.checking.verdict import first_wrong, stopped
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES

State = Literal["correct", "borrowed", "not yet", "not started", "missing"]
SIGNS: dict[State, str] = {"correct": "✓", "borrowed": "◐", "not yet": "✗", "not started": "○", "missing": "–"}
PARTIAL = 0.5  # at most this share of the points for an answer that is right on some cases only
AT_RUN_TIME = "the course's, called at run time"  # the source of an answer that borrows by a trick
_comparing = Lock()  # checks seed and patch torch while they run the reference, so one at a time


class Mark(msgspec.Struct, frozen=True):
    """The mark for one exercise.

    Attributes:
        exercise: its name.
        state: the result in a word.
        passed: number of cases that were right.
        cases: number of all cases.
        tried, got, expected: the simplest case that is wrong, in words.
        likely: the known mistake that it looks like.
        source: the function that a borrowed answer is made of.
    """

    exercise: str
    state: State
    passed: int = 0
    cases: int = 0
    tried: str = ""
    got: str = ""
    expected: str = ""
    likely: str = ""
    source: str = ""


@dataclass(frozen=True)
class Terms:
    """How points are given.

    Attributes:
        borrowed: share of the points for a borrowed answer.
        hint_penalty: share of the points that each opened hint costs, and the reference solution if it was shown.
    """

    borrowed: float = 1.0
    hint_penalty: float = 0.0


def points(mark: Mark, terms: Terms, hints: int = 0, seen: bool = False) -> float:
    """Return the points of an exercise: its minutes for a right answer, up to half of them for a partly right one."""
    whole = float(EXERCISES[mark.exercise].minutes)
    shares = {"correct": 1.0, "borrowed": terms.borrowed, "not yet": PARTIAL * mark.passed / max(1, mark.cases)}
    penalty = terms.hint_penalty * (min(hints, 3) + seen)
    return round(whole * shares.get(mark.state, 0.0) * max(0.0, 1 - penalty), 1)


def marked(name: str, code: str, tried: Tried) -> Mark:
    """Return the mark of an answer.

    Args:
        name: name of the exercise.
        code: code of the answer.
        tried: the answer's trial on the course's cases.
    """
    exercise = EXERCISES[name]
    cases = len(exercise.all_cases())
    with _comparing:
        try:
            right = _right(exercise, tried.trial.outcomes, expected_outcomes(exercise))
            if sum(right) < cases:
                return _not_yet(exercise, tried.trial, right)
        except Exception as error:  # the value was made to break the comparison
            return Mark(name, "not yet", 0, cases, "comparing", f"not a sensible value ({type(error).__name__})")
    source = _source(exercise, code) or (AT_RUN_TIME if tried.used_reference else "")
    state: State = "borrowed" if source else "correct"
    return Mark(name, state, cases, cases, source=readable(source))


def with_hidden(mark: Mark, tried: Tried | None, hidden: Hidden) -> Mark:
    """Return an answer's mark, with the hidden cases added.

    Args:
        mark: the mark for the course's cases.
        tried: the answer's trial on the hidden cases; None if it has not been tried, because it got nothing right.
        hidden: the hidden cases.
    """
    right = _right_hidden(mark.exercise, tried, hidden) if tried else []
    mark = msgspec.structs.replace(mark, passed=mark.passed + sum(right), cases=mark.cases + len(hidden.cases))
    if mark.state != "not yet" and sum(right) < len(hidden.cases):
        problem = hidden_problem(hidden.cases, right)
        return msgspec.structs.replace(
            mark, state="not yet", tried=problem.tried, got=problem.got, expected=problem.expected, source=""
        )
    if mark.state == "correct" and tried and tried.used_reference:
        return msgspec.structs.replace(mark, state="borrowed", source=AT_RUN_TIME)
    return mark


def _right_hidden(name: str, tried: Tried, hidden: Hidden) -> list[bool]:
    exercise = hidden_exercise(EXERCISES[name], hidden)
    with _comparing, suppress(Exception):  # the value was made to break the comparison
        return _right(exercise, tried.trial.outcomes, list(outcomes(exercise, exercise.reference)))
    return []


def hidden_exercise(exercise: Exercise, hidden: Hidden) -> Exercise:
    """Return the exercise with hidden cases instead of the course's."""
    return replace(exercise, cases=lambda _: iter(hidden.cases))


def _right(exercise: Exercise, actual: Sequence[Outcome], expected: Sequence[Outcome]) -> list[bool]:
    """Return whether each case is right, for as many cases as the answer got to."""
    pairs = zip(actual, expected, strict=False)
    return [mismatch(outcome, reference, exercise.tolerance) is None for outcome, reference in pairs]


def _not_yet(exercise: Exercise, trial: Trial, right: list[bool]) -> Mark:
    cases = len(exercise.all_cases())
    problem = Problem("running the cell", trial.problem, "") if trial.problem else None
    problem = problem or first_wrong(exercise, trial.outcomes) or stopped(exercise, trial, CPU_SECONDS)
    likely = likely_mistake(exercise, trial.outcomes) or ""
    words = map(readable_lines, (problem.tried, problem.got, problem.expected, likely))  # the answer may have made them
    return Mark(exercise.name, "not yet", sum(right), cases, *words)


def _source(exercise: Exercise, code: str) -> str | None:
    try:
        return borrowed_from(exercise, code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested deeper than Python's parser goes
        return None
