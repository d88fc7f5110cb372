"""Runs an answer in a process of its own: an endless loop, a crash or a change of torch's settings stays there.

If a process can be forked, this takes 0.2 s. Elsewhere a helper process is kept warm, because a new one would spend
seconds on imports for each check.
"""

import atexit
import contextlib
import json
import multiprocessing
import os
import secrets
import subprocess
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import torch

from coursekit.lessons.checking.outcome import Outcome, as_bytes, from_bytes
from coursekit.lessons.checking.trial import Trial, try_here
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.workbook import Workbook

WALL_SECONDS = 6.0  # of waiting, for an answer that sleeps, or on a busy machine


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
        return _in_fork(workbook, name)
    return _helper().try_answer(workbook, name)


def _in_fork(workbook: Workbook, name: str) -> Trial:
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    args = workbook, EXERCISES[name], theirs  # the exercise is imported here, once, not in each fork
    process = multiprocessing.get_context("fork").Process(target=_forked, args=args, daemon=True)
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


def _forked(workbook: Workbook, exercise: Exercise, connection: Connection) -> None:
    torch.set_num_threads(1)  # first: the thread pool is not in the fork, and the first product would hang
    workbook.in_trial = True
    _serve(workbook, exercise, connection)


@dataclass
class _Helper:
    """A process that tries one answer after the other. It starts when it is first needed, and again after it died."""

    process: subprocess.Popen[bytes] | None = None
    connection: Any = None

    def try_answer(self, workbook: Workbook, name: str) -> Trial:
        if self.process is None or self.process.poll() is not None:
            self._start()
        self.connection.send_bytes(as_bytes([name, str(workbook.folder)]))
        trial = _receive(self.connection)
        if trial.ended in ("too slow", "died"):
            self._stop()
        return trial

    def _start(self) -> None:
        """Start a process. Not with multiprocessing: that would run the user's main script again."""
        key = secrets.token_bytes(16)
        with Listener(authkey=key) as listener:
            command = [sys.executable, "-c", "from coursekit.lessons.checking.runner import help_out; help_out()"]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps([listener.address, key.hex()]).encode())
            self.process.stdin.close()
            self.connection = listener.accept()
        atexit.register(self.process.kill)
        with contextlib.suppress(EOFError):  # then the first answer "died"
            self.connection.recv_bytes()  # it is ready

    def _stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@cache
def _helper() -> _Helper:
    """Return this process's helper."""
    return _Helper()


def help_out() -> None:
    """Serve as the helper process: answer one request after the other, until the other side closes."""
    address, key = json.load(sys.stdin)
    torch.set_num_threads(1)
    workbooks: dict[str, Workbook] = {}
    with contextlib.suppress(EOFError), Client(address, authkey=bytes.fromhex(key)) as connection:
        exercises = dict(EXERCISES)  # imports them all, while no answer's time is counted
        connection.send_bytes(b"ready")
        while True:
            name, folder = from_bytes(connection.recv_bytes())
            workbook = workbooks.setdefault(folder, Workbook(Path(folder), in_trial=True))
            _serve(workbook, exercises[name], connection)


def _serve(workbook: Workbook, exercise: Exercise, connection: Any) -> None:
    """Try an answer here, and send each outcome, then how the trial ended."""
    try_here(workbook, exercise, lambda message: connection.send_bytes(as_bytes(message)))


def _receive(connection: Any) -> Trial:
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
