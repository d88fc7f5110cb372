"""What an answer is worth: its outcomes compared with the reference's, outside of the process that made them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

import msgspec

from coursekit.grading.hidden import Hidden
from coursekit.grading.sandbox import Tried
from coursekit.grading.worker import CPU_SECONDS
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.compare import Problem, given, problem
from coursekit.lessons.checking.mistakes import likely_mistake
from coursekit.lessons.checking.outcome import Outcome, meant
from coursekit.lessons.checking.runner import Trial
from coursekit.lessons.checking.verdict import first_wrong, outcomes_of
from coursekit.lessons.exercise import Case, Exercise
from coursekit.lessons.exercises import EXERCISES

State = Literal["correct", "borrowed", "not yet", "not started", "missing"]
SIGNS: dict[State, str] = {"correct": "✓", "borrowed": "◐", "not yet": "✗", "not started": "○", "missing": "–"}
PARTIAL = (
    0.5  # of the points, at most, for an answer that is right on some cases: one nearly right part spoils a detector
)
comparing = Lock()  # checks seed and patch torch while they run the reference: one at a time


class Mark(msgspec.Struct, frozen=True):
    """What became of one exercise.

    Attributes:
        exercise: its name.
        state: in a word.
        passed, cases: how many of the cases were right, of how many.
        tried, came, expected: the simplest case that is not right, in words.
        likely: which mistake that looks like.
        lender: whose function a borrowed answer is made of.
    """

    exercise: str
    state: State
    passed: int = 0
    cases: int = 0
    tried: str = ""
    came: str = ""
    expected: str = ""
    likely: str = ""
    lender: str = ""


@dataclass(frozen=True)
class Terms:
    """What counts how much.

    Attributes:
        borrowed: share of the points that a borrowed answer gets.
        hint_penalty: share of the points that goes for each hint opened, and for the reference shown.
    """

    borrowed: float = 1.0
    hint_penalty: float = 0.0


def points(mark: Mark, terms: Terms, hints: int = 0, seen: bool = False) -> float:
    """The points of an exercise: its minutes for a right answer, a share of half of them for a partly right one."""
    whole = float(EXERCISES[mark.exercise].minutes)
    shares = {"correct": 1.0, "borrowed": terms.borrowed, "not yet": PARTIAL * mark.passed / max(1, mark.cases)}
    taken = terms.hint_penalty * (min(hints, 3) + seen)
    return round(whole * shares.get(mark.state, 0.0) * max(0.0, 1 - taken), 1)


def marked(name: str, code: str, tried: Tried, secret: Tried | None, hidden: Hidden | None) -> Mark:
    """The mark for what came of an answer on the course's cases, and on hidden ones."""
    exercise = EXERCISES[name]
    cases = [*exercise.all_cases(), *(hidden.cases if hidden else [])]
    if tried.trial.ended == "empty":
        return Mark(name, "not started", cases=len(cases))
    with comparing:
        try:
            right = _right(exercise, tried.trial.outcomes, meant(exercise))
            if hidden and secret:
                theirs = hidden_exercise(exercise, hidden)
                right += _right(theirs, secret.trial.outcomes, outcomes_of(theirs, theirs.reference))
            if sum(right) < len(cases):
                return _not_yet(exercise, tried.trial, cases, right)
        except Exception as error:  # what came was made to upset us
            return Mark(name, "not yet", 0, len(cases), "comparing", f"no sensible value ({type(error).__name__})")
    lender = _lender(exercise, code) or ("the course's, found at run time" if tried.used_reference else "")
    return Mark(name, "borrowed" if lender else "correct", len(cases), len(cases), lender=lender)


def hidden_exercise(exercise: Exercise, hidden: Hidden) -> Exercise:
    """The exercise with hidden cases in the place of the course's."""
    return replace(exercise, cases=lambda _: iter(hidden.cases))


def _right(exercise: Exercise, outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> list[bool]:
    """Whether each case was right; fewer where the answer got no further."""
    return [
        problem(one, other.came, other.given, exercise.tolerance) is None
        for one, other in zip(outcomes, expected, strict=False)
        if other.came is not None and other.given is not None
    ]


def _not_yet(exercise: Exercise, trial: Trial, cases: list[Case], right: list[bool]) -> Mark:
    ours = len(exercise.all_cases())
    told = Problem("running the cell", trial.problem, "") if trial.problem else None
    found = told or first_wrong(exercise, trial.outcomes[:ours])
    if found is None and len(trial.outcomes) < ours:
        found = _stopped(exercise, trial)
    if found is None:  # hidden cases only. Nothing is quoted: an answer could write what it was given into its errors
        place = next((n for n, one in enumerate(right[ours:], ours) if not one), min(len(right), len(cases) - 1))
        found = Problem(f"a case that is not in your notebook: {cases[place].words}", "something else", "")
    likely = likely_mistake(exercise, trial.outcomes[:ours]) or "" if sum(right[:ours]) < ours else ""
    passed = sum(right)
    return Mark(exercise.name, "not yet", passed, len(cases), found.tried, found.came, found.expected, likely)


def _stopped(exercise: Exercise, trial: Trial) -> Problem:
    """Where it got no further, and why."""
    stuck = exercise.all_cases()[len(trial.outcomes)]
    came = "the process that tried it died"
    if trial.ended == "too slow":
        came = f"nothing within {CPU_SECONDS:g} s: does a loop never end?"
    came += f" {trial.problem}" if trial.problem else ""
    return Problem(f"{stuck.words}: {given(exercise.argument_names(), stuck.args)}"[:400], came, "an answer")


def _lender(exercise: Exercise, code: str) -> str | None:
    try:
        return borrowed_from(exercise, code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # deeper than Python's own parser goes
        return None
