"""Run a function in a process that a test may kill. A fork of this process starts without importing torch again."""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch


def start_forked(log: Path, work: Callable[..., None], *args: Any) -> BaseProcess:
    """Start `work(*args)` in a process of its own. Its output and its traceback are appended to `log`.

    `work` is a function of a module, because where forks are not safe (macOS, Windows, after CUDA has started) the
    process starts anew and imports it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    can_fork = sys.platform == "linux" and not torch.cuda.is_initialized()
    context = multiprocessing.get_context("fork" if can_fork else "spawn")
    process = context.Process(target=_work, args=(log, work, args), daemon=True)
    process.start()
    return process


def run_forked(log: Path, work: Callable[..., None], *args: Any, timeout: float = 120) -> int:
    """Run `work(*args)` as `start_forked` does and return its exit code: -9 after SIGKILL, 1 after an exception.

    Raises:
        AssertionError: the process has not ended after `timeout` seconds. It is killed.
    """
    process = start_forked(log, work, *args)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"still running after {timeout} s; its output: {log.read_text()}")
    return process.exitcode


def _work(log: Path, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)  # a fork has none of its parent's threads, and would wait for them for ever
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    code = 1
    try:
        work(*args)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # skips what pytest does at its end
