"""Run a task in a second process while this one goes on.

The process is a fork: it starts in milliseconds, imports nothing, and writes its result to a pipe.
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


def can_fork() -> bool:
    """Return whether a second process can work beside this one. Forks aren't safe on macOS, and Windows has none."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


@contextmanager
def beside(task: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Run a task in a fork while the block runs, and end it with the block.

    Args:
        task: writes to the pipe that it gets. It must not use threads, or locks that another thread may hold.

    Yields:
        The other end of the pipe. It ends early if the task fails, or if the system allows no more processes.
    """
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as reader:
        with os.fdopen(ends[1], "wb") as writer:
            process = _fork()
            if process == 0:
                _run(task, writer)
        try:
            yield reader
        finally:
            _end(process)


def _fork() -> int | None:
    with warnings.catch_warnings(), suppress(OSError):
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's advice, for tasks that may use locks
        return os.fork()
    return None


def _run(task: Callable[[BinaryIO], object], writer: BinaryIO) -> None:
    """Run the task, and end this process without a word, also on Ctrl-C: the other process reports what happens."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        task(writer)
        writer.flush()
    finally:
        os._exit(0)


def _end(process: int | None) -> None:
    if process:
        with suppress(ProcessLookupError, ChildProcessError):  # the program may have chosen not to wait for processes
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
