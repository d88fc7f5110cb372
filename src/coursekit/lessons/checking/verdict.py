"""`check("xywh_to_xyxy")`: is the answer in the workbook right, and if not, what is wrong?"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from coursekit.core.errors import ConfigError, did_you_mean
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.compare_outcomes import Problem, mismatch
from coursekit.lessons.checking.inside_process import CPU_SECONDS, Trial
from coursekit.lessons.checking.known_mistakes import likely_mistake
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes, outcomes
from coursekit.lessons.checking.runner import try_answer
from coursekit.lessons.checking.wording import shown_args
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.states import SIGNS, State, known_state
from coursekit.lessons.workbook.stubs import open_stubs
from coursekit.lessons.workbook.workbook import Workbook, digest

COLORS: dict[State, str] = {
    "not started": "#777777",
    "not yet": "#D55E00",
    "borrowed": "#E69F00",
    "untested": "#56B4E9",
    "correct": "#009E73",
}


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes:
        exercise: its name.
        state: the result in a word.
        message: the result in a sentence.
        problem: the simplest case on which the answer fails.
        likely: the known mistake that it looks like.
        printed: what the answer printed.
        owner: whose function the name stands for from now on.
        failing: the arguments of that case.
    """

    exercise: str
    state: State
    message: str
    problem: Problem | None = None
    likely: str = ""
    printed: str = ""
    owner: str = ""
    failing: tuple[Any, ...] | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Return the details, each with its title."""
        rows = []
        if self.problem:
            rows += [("tried on", self.problem.tried), ("got", self.problem.got)]
            rows += [("expected", self.problem.expected)] if self.problem.expected else []
        if self.failing is not None:
            names = find(self.exercise).argument_names()[: len(self.failing)]
            rows += [("to try it", f"{', '.join(names)}{',' if len(names) == 1 else ''} = failing")]
        rows += [("looks like", self.likely)] if self.likely else []
        rows += [("printed", self.printed)] if self.printed else []
        return rows

    @property
    def head(self) -> str:
        """The result in a few words, with its sign."""
        words = "right; now test it" if self.state == "untested" else self.state
        return f"{SIGNS[self.state]} {self.exercise}: {words}."

    def __str__(self) -> str:
        lines = [f"{self.head} {self.message}".rstrip()]
        lines += [f"  {title:10} {text}" for title, text in self.rows()]
        return "\n".join([*lines, f"  {self.owner}"] if self.owner else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left; vertical-align: top">{title}</th>'
            f'<td style="text-align: left; white-space: pre-wrap"><code>{html.escape(text)}</code></td></tr>'
            for title, text in self.rows()
        )
        return (
            f'<div style="border-left: 4px solid {COLORS[self.state]}; padding: 0.3em 0.8em">'
            f"<b>{html.escape(self.head)}</b> {html.escape(self.message)}"
            f"{f'<table>{rows}</table>' if rows else ''}<div>{html.escape(self.owner)}</div></div>"
        )


class NotCorrectError(AssertionError):
    """Raised by a strict check if the answer is anything but correct."""


def find(name: str) -> Exercise:
    """Return an exercise by its name.

    Raises:
        ConfigError: there is none with that name.
    """
    if name not in EXERCISES:
        raise ConfigError(f"There is no exercise {name!r}{did_you_mean(name, EXERCISES)}.")
    return EXERCISES[name]


def check(workbook: Workbook, name: str, *, is_strict: bool = False) -> Verdict:
    """Try an answer of the workbook on its exercise's cases, in another process, and save the result as progress.

    Args:
        workbook: holds the answer.
        name: name of the exercise.
        is_strict: raise unless the answer is correct.

    Raises:
        ConfigError: there is no such exercise.
        NotCorrectError: the check is strict, and the answer is neither correct nor only untested.
    """
    verdict = _verdict(workbook, find(name))
    if is_strict and verdict.state not in ("untested", "correct"):
        raise NotCorrectError(str(verdict))
    return verdict


def _verdict(workbook: Workbook, exercise: Exercise) -> Verdict:
    name, code = exercise.name, workbook.code_of(exercise.name)
    reference = f"{name} is the course's version."
    if code is None:
        return Verdict(name, "not started", "Write yours whenever you like.", owner=reference)
    trial = try_answer(workbook, name)
    problem = first_problem(exercise, trial)
    if problem is None:
        return _right(workbook, exercise, code, trial.printed)
    likely = likely_mistake(exercise, trial.outcomes) or ""
    attempts = _remember(workbook, name, code, "not yet", likely)
    lines = " and ".join(str(line + 1) for line in open_stubs(name, code))  # as JupyterLab counts: %%exercise is line 1
    message = f"Still to be written: line {lines} of your cell." if lines else ""
    owner = f"Until yours is right, {reference}"
    verdict = Verdict(name, "not yet", message, problem, likely, trial.printed, owner, _failing(exercise, trial))
    return verdict if attempts > 1 else replace(verdict, likely="")


def _right(workbook: Workbook, exercise: Exercise, code: str, printed: str) -> Verdict:
    """Return the verdict on an answer that gives the right values: correct, borrowed, or untested."""
    name, source = exercise.name, borrowed_from(exercise, code)
    _remember(workbook, name, code, "borrowed" if source else "correct", "")
    owner = f"From now on, {name} is yours."
    if source is None and state_of(workbook, name) == "untested":
        message = f'It counts once your inputs to catch("{name}", …) let no wrong answer through.'
        owner = f"Until then, later cells already use your {name}."
        return Verdict(name, "untested", message, printed=printed, owner=owner)
    if source is None:
        return Verdict(name, "correct", "", printed=printed, owner=owner)
    message = f"The values are right, but they come from {source}. Later lessons use it; it doesn't count as yours."
    return Verdict(name, "borrowed", message, printed=printed, owner=f"{name} is the borrowed version.")


def examine(exercise: Exercise, answer: Any) -> Verdict:
    """Return the verdict on a given function, tried in this process; nothing is saved."""
    trial = Trial(list(outcomes(exercise, answer)), ended="well")
    problem = first_problem(exercise, trial)
    if problem is None:
        return Verdict(exercise.name, "correct", "")
    return Verdict(exercise.name, "not yet", "", problem, likely_mistake(exercise, trial.outcomes) or "")


def first_problem(exercise: Exercise, trial: Trial) -> Problem | None:
    """Return the first case on which an answer fails; cases go from simple to large. None if it is right on all."""
    if trial.problem and trial.ended == "well":
        return Problem("running the cell", trial.problem, "")
    wrong = first_wrong(exercise, trial.outcomes)
    if wrong or (trial.ended == "well" and len(trial.outcomes) == len(exercise.all_cases())):
        return wrong
    return stopped(exercise, trial, CPU_SECONDS)


def first_wrong(exercise: Exercise, actual: Sequence[Outcome]) -> Problem | None:
    """Return the first outcome that differs from the reference's, among those that there are."""
    for case, outcome, expected in zip(exercise.all_cases(), actual, expected_outcomes(exercise), strict=False):
        if wrong := mismatch(outcome, expected, exercise.tolerance, exercise.results):
            args = shown_args(exercise.argument_names(), case.args)
            return Problem(f"{case.words}: {args}" if len(args) < 400 else case.words, *wrong)
    return None


def _failing(exercise: Exercise, trial: Trial) -> tuple[Any, ...] | None:
    """Return the arguments of the first case that an answer fails; None if it wasn't tried on any."""
    if trial.problem and trial.ended == "well":
        return None
    cases = exercise.all_cases()
    pairs = zip(trial.outcomes, expected_outcomes(exercise), strict=False)
    wrong = (number for number, pair in enumerate(pairs) if mismatch(*pair, exercise.tolerance))
    return cases[next(wrong, min(len(trial.outcomes), len(cases) - 1))].args


def stopped(exercise: Exercise, trial: Trial, cpu_seconds: float) -> Problem:
    """Return the case at which a trial stopped before its end, and why."""
    cases = exercise.all_cases()
    case = cases[min(len(trial.outcomes), len(cases) - 1)]
    reason = "the process that ran it died"
    if trial.ended == "too slow":
        reason = f"no result after {cpu_seconds:g} s: is there an endless loop?"
    reason += f" {trial.problem}" if trial.problem else ""
    return Problem(f"{case.words}: {shown_args(exercise.argument_names(), case.args)}"[:400], reason, "an answer")


def _remember(workbook: Workbook, name: str, code: str, state: State, mistake: str) -> int:
    """Save the state as progress. Return how many different versions have been wrong so far."""
    record, version = progress.record(workbook, name), digest(code)
    is_new = state == "not yet" and version not in record.attempts
    attempts = [*record.attempts, version] if is_new else record.attempts
    changed = msgspec.structs.replace(record, state=state, code=version, attempts=attempts, mistake=mistake)
    if not workbook.in_trial:
        progress.save(workbook, name, changed)
    return len(attempts)


def state_of(workbook: Workbook, name: str) -> State:
    """Return the state of an exercise. If its code has changed since its last check, it is checked now."""
    return known_state(workbook, name) or check(workbook, name).state
