"""Mark an answer: compare its outcomes with the reference's, outside the process that made them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

import msgspec

from coursekit.grading.hidden import Hidden, hidden_problem
from coursekit.grading.sandbox import Tried
from coursekit.grading.worker import CPU_SECONDS
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.compare import Problem, mismatch
from coursekit.lessons.checking.mistakes import likely_mistake
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes, outcomes
from coursekit.lessons.checking.trial import Trial
from coursekit.lessons.checking.verdict import first_wrong, stopped
from coursekit.lessons.exercise import Case, Exercise
from coursekit.lessons.exercises import EXERCISES

State = Literal["correct", "borrowed", "not yet", "not started", "missing"]
SIGNS: dict[State, str] = {"correct": "✓", "borrowed": "◐", "not yet": "✗", "not started": "○", "missing": "–"}
PARTIAL = 0.5  # at most this share of the points for an answer that is right on some cases only
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


def marked(name: str, code: str, tried: Tried, tried_hidden: Tried | None, hidden: Hidden | None) -> Mark:
    """Return the mark of an answer.

    Args:
        name: name of the exercise.
        code: code of the answer.
        tried: the answer's trial on the course's cases.
        tried_hidden: its trial on the hidden cases; None if there are none, or the first trial didn't end well.
        hidden: the hidden cases.
    """
    exercise = EXERCISES[name]
    cases = [*exercise.all_cases(), *(hidden.cases if hidden else [])]
    if tried.trial.ended == "empty":
        return Mark(name, "not started", cases=len(cases))
    with _comparing:
        try:
            right = _right(exercise, tried.trial.outcomes, expected_outcomes(exercise))
            if hidden and tried_hidden:
                extra = hidden_exercise(exercise, hidden)
                right += _right(extra, tried_hidden.trial.outcomes, list(outcomes(extra, extra.reference)))
            if sum(right) < len(cases):
                return _not_yet(exercise, tried.trial, cases, right)
        except Exception as error:  # the value was made to break the comparison
            return Mark(name, "not yet", 0, len(cases), "comparing", f"not a sensible value ({type(error).__name__})")
    source = _source(exercise, code) or ("the course's, called at run time" if tried.used_reference else "")
    return Mark(name, "borrowed" if source else "correct", len(cases), len(cases), source=source)


def hidden_exercise(exercise: Exercise, hidden: Hidden) -> Exercise:
    """Return the exercise with hidden cases instead of the course's."""
    return replace(exercise, cases=lambda _: iter(hidden.cases))


def _right(exercise: Exercise, actual: Sequence[Outcome], expected: Sequence[Outcome]) -> list[bool]:
    """Return whether each case is right, for as many cases as the answer got to."""
    pairs = zip(actual, expected, strict=False)
    return [mismatch(outcome, reference, exercise.tolerance) is None for outcome, reference in pairs]


def _not_yet(exercise: Exercise, trial: Trial, cases: list[Case], right: list[bool]) -> Mark:
    ours = len(exercise.all_cases())
    problem = Problem("running the cell", trial.problem, "") if trial.problem else None
    problem = problem or first_wrong(exercise, trial.outcomes[:ours])
    if problem is None and len(trial.outcomes) < ours:
        problem = stopped(exercise, trial, CPU_SECONDS)
    problem = problem or hidden_problem(cases[ours:], right[ours:])
    likely = likely_mistake(exercise, trial.outcomes[:ours]) or "" if sum(right[:ours]) < ours else ""
    passed = sum(right)
    return Mark(exercise.name, "not yet", passed, len(cases), problem.tried, problem.got, problem.expected, likely)


def _source(exercise: Exercise, code: str) -> str | None:
    try:
        return borrowed_from(exercise, code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested deeper than Python's parser goes
        return None
