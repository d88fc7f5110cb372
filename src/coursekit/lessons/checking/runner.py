"""Runs an answer in a process of its own: an endless loop, a crash or a change of torch's settings stays there.

If a process can be forked, this takes 0.2 s. Elsewhere a helper process is kept warm, because a new one would spend
seconds on imports for each check.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import msgspec
import torch

from coursekit.lessons.checking.inside_process import Trial, try_function, try_here
from coursekit.lessons.checking.message_bytes import ForgedError, pack, unpack
from coursekit.lessons.checking.pipe_messages import Messages, send
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.workbook import Workbook

WALL_SECONDS = 6.0  # of waiting, for an answer that sleeps, or on a busy machine
# For a known mistake, which is our own code and ends. Its outcomes are kept, so none may be cut off on a busy machine.
MISTAKE_CPU_SECONDS, MISTAKE_WALL_SECONDS = 20.0, 60.0
START_SECONDS = 180.0  # to import torch, on a slow machine


def can_fork() -> bool:
    """Return whether a forked process works here. On macOS, its system libraries don't survive it."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def try_answer(workbook: Workbook, name: str, *, fork: bool | None = None) -> Trial:
    """Try the stored answer of an exercise on all of its cases, in another process.

    Args:
        workbook: holds the answer.
        name: name of the exercise.
        fork: use a forked process, or else the warm helper; by default what this machine can.
    """
    if can_fork() if fork is None else fork:
        return _in_fork(partial(_serve_answer, workbook, EXERCISES[name]))[0]  # imported here, not in each fork
    return _helper().ask([name, str(workbook.folder)])[0]


def try_mistakes(name: str, *, fork: bool | None = None) -> list[Trial]:
    """Try all known mistakes of an exercise, as answers are tried."""
    trials: list[Trial] = []
    count = len(EXERCISES[name].mistakes)
    while len(trials) < count:  # after one that ended its process, another process goes on
        if can_fork() if fork is None else fork:
            serve = partial(_serve_mistakes, EXERCISES[name], len(trials))
            trials += _in_fork(serve, count - len(trials), MISTAKE_WALL_SECONDS)
        else:
            trials += _helper().ask([name, len(trials)], count - len(trials), MISTAKE_WALL_SECONDS)
    return trials


Serve = Callable[[Callable[[Any], None]], None]  # takes the function that sends a message


def _in_fork(serve: Serve, most: int = 1, wait: float = WALL_SECONDS) -> list[Trial]:
    ours, theirs = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_forked, args=(serve, ours, theirs), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a process with threads is forked: see _forked
        process.start()
    os.close(theirs)
    try:
        return _receive(Messages(os.fdopen(ours, "rb")), most, wait)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)  # with what it has started
        process.kill()
        process.join()


def _forked(serve: Serve, ours: int, theirs: int) -> None:
    torch.set_num_threads(1)  # first: the thread pool is not in the fork, and the first product would hang
    os.setsid()
    os.close(ours)
    with os.fdopen(theirs, "wb") as stream:
        serve(partial(_reply, stream))


def _serve_answer(workbook: Workbook, exercise: Exercise, reply: Callable[[Any], None]) -> None:
    workbook.in_trial = True
    try_here(workbook, exercise, reply)


def _serve_mistakes(exercise: Exercise, start: int, reply: Callable[[Any], None]) -> None:
    for wrong in exercise.mistakes[start:]:
        try_function(exercise, wrong.answer, reply, MISTAKE_CPU_SECONDS)


@dataclass
class _Helper:
    """A process that tries one answer after the other. It starts when it is first needed, and again after it died."""

    process: "subprocess.Popen[bytes] | None" = None
    messages: Messages | None = None

    def ask(self, request: Sequence[Any], most: int = 1, wait: float = WALL_SECONDS) -> list[Trial]:
        if self.process is None or self.process.poll() is not None:
            problem = self._start()
            if problem:
                return [Trial(problem=problem)] * most
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.messages is not None
        try:
            send(self.process.stdin, msgspec.json.encode(request))
            trials = _receive(self.messages, most, wait)
        except OSError:  # it has died meanwhile
            trials = [Trial()]
        if trials[-1].ended in ("too slow", "died"):
            self._stop()
        return trials

    def _start(self) -> str:
        """Start a process, not with multiprocessing, which would run the user's main script again.

        Returns:
            What is wrong, if it doesn't start; else nothing.
        """
        command = [sys.executable, "-c", "from coursekit.lessons.checking.runner import help_out; help_out()"]
        with tempfile.TemporaryFile() as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            self.process = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
            assert self.process is not None
            assert self.process.stdout is not None
            atexit.register(self.process.kill)
            self.messages = Messages(self.process.stdout)
            with contextlib.suppress(TimeoutError):
                if self.messages.next(START_SECONDS) is not None:
                    return ""
            self._stop()
            errors.seek(0)
            lines = errors.read()[-2000:].decode(errors="replace").strip().splitlines()
            return f"The process that tries answers doesn't start: {lines[-1] if lines else 'it says nothing'}"

    def _stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@cache
def _helper() -> _Helper:
    """Return this process's helper."""
    return _Helper()


def help_out() -> None:
    """Serve as the helper process: answer one request after the other, until the input ends."""
    requests, replies = _own(0, "rb"), _own(1, "wb")
    torch.set_num_threads(1)
    exercises = dict(EXERCISES)  # imports them all, while no answer's time is counted
    workbooks: dict[str, Workbook] = {}
    send(replies, b"ready")
    messages = Messages(requests)
    while content := messages.next(None):
        name, which = msgspec.json.decode(content)
        if isinstance(which, int):
            _serve_mistakes(exercises[name], which, partial(_reply, replies))
        else:
            workbook = workbooks.setdefault(which, Workbook(Path(which), in_trial=True))
            _serve_answer(workbook, exercises[name], partial(_reply, replies))


def _reply(stream: IO[bytes], message: dict[str, Any]) -> None:
    send(stream, pack(message))


def _own(handle: int, mode: str) -> IO[bytes]:
    """Take standard input or output for messages: what answers read or print goes elsewhere."""
    stream = os.fdopen(os.dup(handle), mode)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, handle)
    os.close(nothing)
    return stream


def _receive(messages: Messages, most: int, wait: float) -> list[Trial]:
    """Gather what some answers do, up to the first that ends their process."""
    trials: list[Trial] = []
    while len(trials) < most:
        trials.append(_receive_one(messages, wait))
        if trials[-1].ended == "died" or not messages.is_open:
            break
    return trials


def _receive_one(messages: Messages, wait: float) -> Trial:
    """Gather what an answer does. A message that makes no sense ends it."""
    trial = Trial()
    while True:
        try:
            content = messages.next(wait)
        except TimeoutError:
            trial.ended, messages.is_open = "too slow", False
            return trial
        try:
            message = unpack(content or b"")
        except ForgedError:
            return trial
        if isinstance(message, dict):
            return Trial(trial.outcomes, message["problem"] or None, message["ended"], message["printed"])
        trial.outcomes.append(message)
