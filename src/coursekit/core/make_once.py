"""Files and folders that are made once and then used by all: by one process, while others that need them wait."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coursekit.core.disk_errors import disk_errors
from coursekit.core.errors import CourseError
from coursekit.core.files import make_folder, new_folder
from coursekit.core.lock import try_lock

LOOK_SECONDS = 0.1


def make_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`. If it isn't there, `fill` fills a temporary folder that then becomes it.

    Raises:
        DataError: the disk is full.
    """
    if not folder.exists():
        with locked(folder, wait=True), disk_errors(folder):
            if not folder.exists():
                with new_folder(folder) as partial:
                    fill(partial)
    remove_leftovers(folder)
    return folder


@contextmanager
def locked(target: Path, *, wait: bool) -> Iterator[None]:
    """Be the only process that makes `target` until the block ends. The lock is the file `.{name}.lock` beside it.

    Args:
        wait: wait for another process that makes it. Otherwise, its presence is an error.

    Raises:
        CourseError: another process makes it.
        DataError: the disk is full.
    """
    path = _lock_file(target)
    make_folder(path.parent)
    while True:
        with disk_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if try_lock(handle) and _is_current(handle, path):
            try:
                yield
            finally:
                _unlock(path, handle)
            return
        os.close(handle)
        if not wait:
            raise CourseError(f"{target}: another process is building it. Wait until it has finished.")
        time.sleep(LOOK_SECONDS)


def leftovers(target: Path) -> list[Path]:
    """Return what processes that make `target`, or were killed while they did, have put beside it: hidden files."""
    beside = target.parent.iterdir() if target.parent.is_dir() else ()
    return [path for path in beside if path.name.startswith(".") and target.name in path.name]


def remove_leftovers(target: Path) -> None:
    """Remove the leftovers of `target`, which is complete, unless a process that uses them is still running."""
    if leftovers(target):
        with suppress(CourseError, OSError), locked(target, wait=False):
            for path in leftovers(target):
                if path == _lock_file(target):
                    continue  # `locked` removes it
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _is_current(handle: int, path: Path) -> bool:
    """Return whether the file that we locked is still there: its last owner removes it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _unlock(path: Path, handle: int) -> None:
    """Remove the lock's file while we hold it; on Windows after that, because it removes no open file."""
    if sys.platform == "win32":
        os.close(handle)
        with suppress(OSError):  # the next process has opened it
            path.unlink()
    else:
        path.unlink(missing_ok=True)
        os.close(handle)
