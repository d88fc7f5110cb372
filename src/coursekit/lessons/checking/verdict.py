"""`check("xywh_to_xyxy")`: is the answer in the workbook right, and if not, where not?"""

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from coursekit.core.errors import ConfigError
from coursekit.data.index import nearest
from coursekit.lessons.checking import runner as child
from coursekit.lessons.checking.borrowed import borrowed_from
from coursekit.lessons.checking.compare import Problem, given, problem
from coursekit.lessons.checking.mistakes import likely_mistake
from coursekit.lessons.checking.outcome import Outcome, attempt, meant
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import progress, workbook

State = Literal["not started", "not yet", "borrowed", "correct"]
SIGNS: dict[State, str] = {"not started": "○", "not yet": "✗", "borrowed": "◐", "correct": "✓"}
COLOURS: dict[State, str] = {
    "not started": "#777777",
    "not yet": "#D55E00",
    "borrowed": "#E69F00",
    "correct": "#009E73",
}


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        exercise: its name.
        state: the same in a word.
        message: the same in a sentence.
        problem: the simplest case on which the answer fails.
        likely: which mistake that looks like.
        printed: what the answer printed on the way.
        whose: what the name stands for from now on.
    """

    exercise: str
    state: State
    message: str
    problem: Problem | None = None
    likely: str = ""
    printed: str = ""
    whose: str = ""

    def rows(self) -> list[tuple[str, str]]:
        """What there is to say besides the message, each with its title."""
        rows = []
        if self.problem:
            rows += [("tried on", self.problem.tried), ("came", self.problem.came)]
            rows += [("expected", self.problem.expected)] if self.problem.expected else []
        rows += [("looks like", self.likely)] if self.likely else []
        rows += [("printed", self.printed)] if self.printed else []
        return rows

    def __str__(self) -> str:
        lines = [f"{SIGNS[self.state]} {self.exercise}: {self.state}. {self.message}".rstrip()]
        lines += [f"  {title:10} {text}" for title, text in self.rows()]
        return "\n".join([*lines, f"  {self.whose}"] if self.whose else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left; vertical-align: top">{title}</th>'
            f'<td style="text-align: left; white-space: pre-wrap"><code>{html.escape(text)}</code></td></tr>'
            for title, text in self.rows()
        )
        return (
            f'<div style="border-left: 4px solid {COLOURS[self.state]}; padding: 0.3em 0.8em">'
            f"<b>{SIGNS[self.state]} {self.exercise}: {self.state}.</b> {html.escape(self.message)}"
            f"{f'<table>{rows}</table>' if rows else ''}<div>{html.escape(self.whose)}</div></div>"
        )


class NotCorrectError(AssertionError):
    """Raised under COURSEKIT_STRICT=1 where an answer is anything but correct."""


def find(name: str) -> Exercise:
    """An exercise by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in EXERCISES:
        raise ConfigError(f"There is no exercise {name!r}{nearest(name, EXERCISES)}.")
    return EXERCISES[name]


def check(name: str) -> Verdict:
    """Try an answer of the workbook on the exercise's cases, in a process of its own, and remember what came of it.

    Raises:
        ConfigError: there is no such exercise.
        NotCorrectError: under COURSEKIT_STRICT=1, where the answer is not correct.
    """
    verdict = judge(find(name))
    if verdict.state != "correct" and os.environ.get("COURSEKIT_STRICT") == "1":
        raise NotCorrectError(str(verdict))
    return verdict


def judge(exercise: Exercise) -> Verdict:
    """The verdict on what the workbook holds for an exercise, written into the progress."""
    name, code = exercise.name, workbook.code_of(exercise.name)
    reference = f"{name} stands for the course's."
    if code is None:
        return Verdict(name, "not started", "Write yours whenever you like.", whose=reference)
    trial = child.try_answer(name)
    if trial.ended == "empty":
        return Verdict(name, "not started", "Part of it is still missing: NotImplementedError.", whose=reference)
    found = first_problem(exercise, trial)
    if found is None:
        lender = borrowed_from(exercise, code)
        _remember(name, code, "borrowed" if lender else "correct", "")
        if lender:
            say = f"It gives the right values, and it is {lender}. It runs on, and is not counted as yours."
            return Verdict(name, "borrowed", say, printed=trial.printed, whose=f"{name} stands for it.")
        return Verdict(name, "correct", "", printed=trial.printed, whose=f"From here on, {name} is yours.")
    likely = likely_mistake(exercise, trial.outcomes) or ""
    attempts = _remember(name, code, "not yet", likely)
    verdict = Verdict(name, "not yet", "", found, likely, trial.printed, f"Until it is right, {reference}")
    return verdict if attempts > 1 else replace(verdict, likely="")


def examine(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on a function that is at hand, tried here and now; nothing is remembered."""
    trial = child.Trial(outcomes_of(exercise, answer), ended="well")
    found = first_problem(exercise, trial)
    if found is None:
        return Verdict(exercise.name, "correct", "")
    return Verdict(exercise.name, "not yet", "", found, likely_mistake(exercise, trial.outcomes) or "")


def first_problem(exercise: Exercise, trial: child.Trial) -> Problem | None:
    """The first case on which an answer fails (they go from simple to large), with what came and what was expected."""
    if trial.problem and trial.ended == "well":
        return Problem("running the cell", trial.problem, "")
    cases = exercise.all_cases()
    found = first_wrong(exercise, trial.outcomes)
    if found or (trial.ended == "well" and len(trial.outcomes) == len(cases)):
        return found
    stuck = cases[min(len(trial.outcomes), len(cases) - 1)]
    slow = f"nothing within {child.CPU_SECONDS:g} s: does a loop never end?"
    slow += f" {trial.problem}" if trial.problem else ""
    came = slow if trial.ended == "too slow" else "the process that tried it died"
    return Problem(f"{stuck.words}: {given(exercise.argument_names(), stuck.args)}"[:400], came, "an answer")


def first_wrong(exercise: Exercise, outcomes: Sequence[Outcome]) -> Problem | None:
    """The first outcome that is not what the reference gives, of as many as there are."""
    for case, outcome, right in zip(exercise.all_cases(), outcomes, meant(exercise), strict=False):
        assert right.came is not None, right.raised
        assert right.given is not None
        if found := problem(outcome, right.came, right.given, exercise.tolerance):
            args = given(exercise.argument_names(), case.args)
            return Problem(f"{case.words}: {args}" if len(args) < 400 else case.words, *found)
    return None


def _remember(name: str, code: str, state: State, mistake: str) -> int:
    """Write it down; how many different versions were wrong so far?"""
    record, mark = progress.record(name), workbook.mark_of(code)
    attempts = record.attempts if state != "not yet" or mark in record.attempts else [*record.attempts, mark]
    changed: Any = msgspec.structs.replace(record, state=state, code=mark, attempts=attempts, mistake=mistake)
    if not child.inside:
        progress.save(name, changed)
    return len(attempts)


def state_of(name: str) -> State:
    """What is known of an exercise; where its code has changed since, it is checked now."""
    code, record = workbook.code_of(name), progress.record(name)
    if code is None:
        return "not started"
    if record.code == workbook.mark_of(code) and record.state in ("not yet", "borrowed", "correct"):
        return record.state  # type: ignore[return-value]
    return "not yet" if child.inside else judge(EXERCISES[name]).state


def outcomes_of(exercise: Exercise, answer: Any) -> list[Outcome]:
    """What an answer gives on all cases, here and now: for answers that are trusted."""
    return [attempt(exercise, answer, case) for case in exercise.all_cases()]
