"""List the files in what an intern handed in: a folder, a zip or a notebook. Unpack nothing, and follow no link."""

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO

from coursekit.grading.problems import Problems
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.workbook import PACKAGE

LISTING_BYTES = 16 << 20  # of a zip's table of contents: some 200,000 files
IGNORED = {"former", ".ipynb_checkpoints", "__pycache__", ".git", ".venv", "__MACOSX"}
OTHER = ("progress.json", "journal.json", "answers.json", "report.html")
LEADS_OUT, LINK = "its path leads out of the zip. It was not read", "it is a link, and was not read"
ENCRYPTED = "it is encrypted, and was not read. Make a zip without a password"
METHOD = "it is compressed in an unusual way, and was not read. Make the zip with the usual settings"


@dataclass(frozen=True)
class File:
    """A file that matters.

    Attributes:
        inner: its path in the submission.
        size: bytes, as the folder or the zip says. A zip gives no more than that, however much is compressed in it.
        open: opens it.
    """

    inner: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


@contextmanager
def opened(path: Path) -> Iterator[Path | zipfile.ZipFile]:
    """Open a submission.

    Raises:
        ValueError: it is a link, neither a file nor a folder, or its table of contents is too large.
        Exception: the zip is damaged; there are many ways.
    """
    if path.is_symlink():
        raise ValueError(LINK)
    if path.is_dir() or path.suffix.lower() == ".ipynb":
        yield path
        return
    with _Zip(_handle(path)) as file, zipfile.ZipFile(file) as archive:
        file.limit = None
        yield archive


def files(place: Path | zipfile.ZipFile, problems: Problems) -> Iterator[File]:
    """Yield the files that matter, in the order of their names. Note those that can't be read."""
    if isinstance(place, zipfile.ZipFile):
        return _of_zip(place, problems)
    if place.is_dir():
        return _of_folder(place, problems)
    return iter([File(PurePosixPath(place.name), place.stat().st_size, partial(_open, place))])


class _Zip(BufferedReader):
    """A file that refuses to read a zip's table of contents if it is too large. In memory it is ten times larger."""

    def __init__(self, handle: int) -> None:
        super().__init__(os.fdopen(handle, "rb", buffering=0))
        self.limit: int | None = LISTING_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None and size is not None and size > self.limit:
            raise ValueError("it has too many files, and was not read")
        return super().read(size)


def _handle(path: Path) -> int:
    """Open a file, unless it is a link, or a pipe or device, which may never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise ValueError("it is not a file")


def _open(path: Path) -> IO[bytes]:
    return os.fdopen(_handle(path), "rb")


def _of_folder(folder: Path, problems: Problems) -> Iterator[File]:
    def unreadable(error: OSError) -> None:
        problems.add(Path(str(error.filename)).name, f"can't be read ({error.strerror})")

    for top, folders, names in os.walk(folder, onerror=unreadable):  # it doesn't follow links
        folders[:] = sorted(set(folders) - IGNORED)
        for path in (Path(top, name) for name in sorted([*names, *folders])):
            inner = PurePosixPath(path.relative_to(folder).as_posix())
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                problems.add(str(inner), LINK)
            elif stat.S_ISREG(status.st_mode) and _matters(inner):
                yield File(inner, status.st_size, partial(_open, path))


def _of_zip(archive: zipfile.ZipFile, problems: Problems) -> Iterator[File]:
    """Yield the files of a zip. Nothing is unpacked, so no path can lead out of it; such a path is reported."""
    for member in sorted(archive.infolist(), key=lambda member: member.filename):
        inner = PurePosixPath(member.filename.replace("\\", "/"))
        if refusal := _refusal(member, inner):
            problems.add(member.filename, refusal)
        elif not member.filename.endswith("/") and _matters(inner):
            yield File(inner, member.file_size, partial(archive.open, member))


def _refusal(member: zipfile.ZipInfo, inner: PurePosixPath) -> str:
    """Return why a member is not read; empty if it may be."""
    if inner.is_absolute() or ".." in inner.parts or re.match(r"[A-Za-z]:", member.filename):
        return LEADS_OUT
    if stat.S_ISLNK(member.external_attr >> 16):
        return "" if IGNORED & set(inner.parts) else LINK
    if not _matters(inner):
        return ""
    if member.flag_bits & 1:
        return ENCRYPTED
    usual = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python unpacks a piece of the others at once, however large
    return "" if member.compress_type in usual else METHOD


def _matters(inner: PurePosixPath) -> bool:
    if IGNORED & set(inner.parts):
        return False
    suffix = inner.suffix.lower()
    is_answer = suffix == ".py" and inner.stem in EXERCISES and inner.parent.name in (PACKAGE, "")
    return suffix == ".ipynb" or inner.name.lower() in OTHER or is_answer
