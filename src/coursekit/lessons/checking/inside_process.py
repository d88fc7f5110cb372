"""Inside the process that tries an answer: run it on all cases, within limits, and send what it does."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from coursekit.lessons.checking.outcome import Outcome, error_text, outcomes
from coursekit.lessons.exercise import Answer, Exercise
from coursekit.lessons.workbook.workbook import Workbook

CPU_SECONDS = 2.0  # of computing, for all cases: right answers take up to 0.5, three times that on a busy machine
PRINTED = 300  # characters


@dataclass
class Trial:
    """What an answer did.

    Attributes:
        outcomes: one for each case, as far as it got.
        problem: what kept it from being tried at all, such as a syntax error.
        ended: "well", "too slow", or "died".
        printed: the beginning of what it printed.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    problem: str | None = None
    ended: str = "died"
    printed: str = ""


class TooSlowError(BaseException):
    """Raised inside an answer when its time is up. Derived from BaseException, since answers may catch Exception."""


def try_here(
    workbook: Workbook, exercise: Exercise, send: Callable[[dict[str, Any]], None], cpu_seconds: float = CPU_SECONDS
) -> None:
    """Try an answer in this process, and send each outcome as a dictionary, then how the trial ended.

    Args:
        workbook: holds the answer.
        exercise: whose cases to try.
        send: called with each message.
        cpu_seconds: processor time for all cases together.
    """
    _serve(partial(_try, workbook, exercise), send, cpu_seconds)


def try_function(
    exercise: Exercise, answer: Answer, send: Callable[[dict[str, Any]], None], cpu_seconds: float = CPU_SECONDS
) -> None:
    """Do what `try_here` does, with a function that is not in a workbook."""
    _serve(partial(_try_function, exercise, answer), send, cpu_seconds)


Try = Callable[[Callable[[Outcome], None]], dict[str, Any]]  # takes what sends an outcome, returns how it ended


def _serve(attempt: Try, send: Callable[[dict[str, Any]], None], cpu_seconds: float) -> None:
    text = _Bounded()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), _no_input(), _limited(cpu_seconds):
        end = _ending(attempt, lambda outcome: send(vars(outcome)))
    send(end | {"printed": text.getvalue()[:PRINTED].strip()})


def _ending(attempt: Try, send: Callable[[Outcome], None]) -> dict[str, Any]:
    """Try an answer, and return how it ended."""
    try:
        return attempt(send)
    except TooSlowError as error:
        return {"ended": "too slow", "problem": error_text(error)}
    except (Exception, SystemExit) as error:
        return {"ended": "well", "problem": error_text(error)}


def _try(workbook: Workbook, exercise: Exercise, send: Callable[[Outcome], None]) -> dict[str, Any]:
    workbook.make_importable()
    module = workbook.answer(exercise.name)
    if not hasattr(module, exercise.name):
        return {"ended": "well", "problem": f"the cell doesn't define anything called {exercise.name}"}
    return _try_function(exercise, getattr(module, exercise.name), send)


def _try_function(exercise: Exercise, answer: Answer, send: Callable[[Outcome], None]) -> dict[str, Any]:
    for outcome in outcomes(exercise, answer):
        send(outcome)
    return {"ended": "well"}


class _Bounded(io.StringIO):
    """Keeps only the beginning of what is printed."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, 4 * PRINTED - self.tell())]) and len(text)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Limit the processor time of the block. An answer may catch the first signal, so there is a second."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    strikes: list[int] = []
    before = signal.signal(signal.SIGPROF, partial(_strike, strikes, seconds))
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _strike(strikes: list[int], seconds: float, number: int, frame: Any) -> None:
    strikes.append(number)
    if len(strikes) > 2:
        os._exit(1)
    raise TooSlowError(f"not done after {seconds:g} s")


@contextlib.contextmanager
def _no_input() -> Iterator[None]:
    before = sys.stdin
    with open(os.devnull, encoding="utf-8") as nothing:  # noqa: PTH123
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before
