"""An answer is tried in a process of its own: an endless loop, a crash or a change of torch's settings stays there.

Where a process can be forked, that is a matter of 0.2 s. Elsewhere a helper process is kept warm: a new one would pay
seconds of imports for each check.
"""

import atexit
import contextlib
import io
import json
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import torch

from coursekit.lessons.checking.outcome import Outcome, as_bytes, from_bytes, outcomes, told
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import workbook

CPU_SECONDS, WALL_SECONDS = 1.2, 6.0  # of work; of waiting, for an answer that sleeps, or a machine under load
PRINTED = 300  # characters
inside = False  # whether this is such a process: then no other is begun


@dataclass
class Trial:
    """What came of an answer.

    Attributes:
        outcomes: one for each case, as far as it got.
        problem: what kept it from being tried at all, such as a syntax error.
        ended: "well", "empty" (the cell is still as the course gives it), or "too slow", or "died".
        printed: the first of what it printed.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    problem: str | None = None
    ended: str = "died"
    printed: str = ""


class TooSlowError(BaseException):
    """Raised inside an answer when its time is up. No Exception, which answers catch."""


def can_fork() -> bool:
    """Whether a forked process works here: on macOS its system libraries don't survive it."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def try_answer(name: str, *, fork: bool | None = None) -> Trial:
    """Try the stored answer of an exercise on all of its cases, in another process.

    Args:
        name: of the exercise.
        fork: a forked process, or the warm helper; by default what this machine can.
    """
    if can_fork() if fork is None else fork:
        return _in_fork(name)
    return _in_helper(name)


def _in_fork(name: str) -> Trial:
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_forked, args=(name, theirs), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a process with threads is forked: see _forked
        process.start()
    theirs.close()
    try:
        return _receive(ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _forked(name: str, connection: Connection) -> None:
    torch.set_num_threads(1)  # first of all: the pool of threads did not come along, and the first product would hang
    global inside
    inside = True
    serve(name, connection)


_helper: tuple[subprocess.Popen[bytes], Connection] | None = None


def _in_helper(name: str) -> Trial:
    global _helper
    if _helper is None or _helper[0].poll() is not None:
        _helper = _warm()
    process, connection = _helper
    connection.send_bytes(as_bytes([name, str(workbook.folder())]))
    trial = _receive(connection)
    if trial.ended in ("too slow", "died"):
        process.kill()
        process.wait()
        _helper = None
    return trial


def _warm() -> tuple[subprocess.Popen[bytes], Connection]:
    """A new helper. Not multiprocessing's own: that would run the user's main script again."""
    key = secrets.token_bytes(16)
    with Listener(authkey=key) as listener:
        command = [sys.executable, "-c", "from coursekit.lessons.checking.runner import help_out; help_out()"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(json.dumps([listener.address, key.hex()]).encode())
        process.stdin.close()
        connection: Any = listener.accept()
    atexit.register(process.kill)
    return process, connection


def help_out() -> None:
    """What the helper does: answers one request after the other, until nobody asks."""
    address, key = json.load(sys.stdin)
    torch.set_num_threads(1)
    global inside
    inside = True
    with contextlib.suppress(EOFError), Client(address, authkey=bytes.fromhex(key)) as connection:
        while True:
            name, os.environ["COURSEKIT_WORKBOOK"] = from_bytes(connection.recv_bytes())
            serve(name, connection)


def serve(name: str, connection: Connection) -> None:
    """Try an answer here, and send what comes of it: outcome by outcome, then how it ended."""
    try_here(EXERCISES[name], lambda message: connection.send_bytes(as_bytes(message)))


def try_here(exercise: Exercise, send: Callable[[dict[str, Any]], None]) -> None:
    """The same for an exercise at hand, with whatever way there is to send."""
    text = _Bounded()
    with _limited(), contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), _no_input():
        end = _try(exercise, lambda outcome: send(asdict(outcome)))
    send(end | {"printed": text.getvalue()[:PRINTED].strip()})


def _try(exercise: Exercise, send: Any) -> dict[str, Any]:
    try:
        workbook.make_importable()
        answer = getattr(workbook.answer(exercise.name), exercise.name)
        outcomes(exercise, answer, send)
    except NotImplementedError:
        return {"ended": "empty"}
    except TooSlowError as error:
        return {"ended": "too slow", "problem": told(error)}
    except AttributeError:
        return {"ended": "well", "problem": f"the cell defines nothing called {exercise.name}"}
    except (Exception, SystemExit) as error:
        return {"ended": "well", "problem": told(error)}
    return {"ended": "well"}


def _receive(connection: Connection) -> Trial:
    trial = Trial()
    try:
        while connection.poll(WALL_SECONDS):
            message = from_bytes(connection.recv_bytes())
            if "ended" in message:
                return Trial(trial.outcomes, message.get("problem"), message["ended"], message["printed"])
            trial.outcomes.append(Outcome(**message))
        trial.ended = "too slow"
    except (EOFError, OSError):
        trial.ended = "died"
    return trial


class _Bounded(io.StringIO):
    """Keeps the first of what is printed, be it ever so much."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, 4 * PRINTED - self.tell())]) and len(text)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Processor time for the block. After the first signal, which an answer may catch, there is a second."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    strikes: list[int] = []
    before = signal.signal(signal.SIGPROF, partial(_strike, strikes))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _strike(strikes: list[int], number: int, frame: Any) -> None:
    strikes.append(number)
    if len(strikes) > 2:
        os._exit(1)
    raise TooSlowError(f"not done after {CPU_SECONDS:g} s")


@contextlib.contextmanager
def _no_input() -> Iterator[None]:
    before = sys.stdin
    with open(os.devnull) as nothing:  # noqa: PTH123
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before
