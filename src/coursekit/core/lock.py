"""Locks between processes. The system releases them when their process ends, however it ends."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, remove_partial_files

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"  # on Windows only, where a folder can't be locked
BUSY = (errno.EAGAIN, errno.EACCES)
_held: set[int] = set()  # file descriptors


def try_lock(handle: int) -> bool:
    """Lock an open file, or on other systems than Windows a folder. Return False if another process has it.

    Some network drives have no locks; there it returns True.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in BUSY
    return True


@contextmanager
def alone_in(folder: Path, activity: str) -> Iterator[None]:
    """Let no other process enter such a block for the same folder: a second training into one `--out` is refused.

    Files that a killed process has left half-written there are removed. A folder that is still empty at the end is
    removed, if the block created it.

    Args:
        folder: created if it doesn't exist.
        activity: what is done there, for the message, such as "training".

    Raises:
        ConfigError: another process is in such a block, or the folder can't be written to.
    """
    is_new = not folder.exists()
    make_folder(folder)
    descriptor = _lock(folder, activity)
    _held.add(descriptor)
    try:
        remove_partial_files(folder)
        yield
    finally:
        _unlock(folder, descriptor)
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _lock(folder: Path, activity: str) -> int:
    if sys.platform == "win32":
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    if not try_lock(descriptor):
        os.close(descriptor)
        raise ConfigError(
            f"{folder}: another {activity} is writing here right now. Wait until it has ended, or choose another --out."
        )
    return descriptor


def _unlock(folder: Path, descriptor: int) -> None:
    if descriptor in _held:
        _held.remove(descriptor)
        os.close(descriptor)
    if sys.platform == "win32":
        with suppress(OSError):
            (folder / LOCK).unlink()


def _forget() -> None:
    """Close a forked process's copies: a worker that outlives a killed training for seconds would keep its lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
