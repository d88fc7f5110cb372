"""Errors of the disk, as one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coursekit.core.errors import DataError

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = (*FULL, errno.EFBIG)  # also a file that is larger than its drive, or the user's limit, allows


class DiskError(DataError):
    """A file can't be written.

    Args:
        target: the file, or the folder if that isn't known.
        error: why.
        note: what happens when the user runs the command again.
    """

    def __init__(self, target: object, error: OSError, note: str = "") -> None:
        self.target, self.error, self.note = target, error, note
        cure = "Free some space" if error.errno in FULL else "Check its permissions and the disk"
        again = f"run the same command again: {note}" if note else "run the same command again"
        super().__init__(f"{target}: can't be written ({reason_of(error)}). {cure}, then {again}.")


def reason_of(error: OSError) -> str:
    """Return what an error of the operating system says, in plain words if the disk is full."""
    return "the disk is full" if error.errno in FULL else (error.strerror or str(error))


@contextmanager
def disk_errors(target: Path, note: str = "") -> Iterator[None]:
    """Report that a file can't be written.

    Args:
        target: what the message names if the error names no file.
        note: what happens when the user runs the command again.

    Raises:
        DiskError: the disk is full, or another error of the operating system.
    """
    try:
        yield
    except DiskError as error:
        raise DiskError(error.target, error.error, error.note or note) from None
    except OSError as error:
        raise DiskError(error.filename or target, error, note) from None


@contextmanager
def room_for(target: Path) -> Iterator[None]:
    """Report that there is no room for a file. Other errors pass: they need not be about this file.

    Raises:
        DiskError: the disk is full, or the file is larger than allowed.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskError(target, error) from None
