"""What an intern handed in, a zip, a folder or a bare notebook, as the code of each exercise. Nothing of it is run."""

import ast
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec

from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.progress import Progress, Record
from coursekit.lessons.workbook.workbook import PACKAGE, is_empty

FILE_BYTES, CODE_BYTES, ALL_BYTES, FILES = 100 << 20, 200 << 10, 300 << 20, 5000
UNREAD = {"former", ".ipynb_checkpoints", "__pycache__", ".git", ".venv"}
KEPT = ("progress.json", "journal.json", "answers.json", "report.html")
UNREADABLE = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
CELL, GRADE_ID, DEFINITION, WORKBOOK = range(4, 0, -1)  # how a piece of code was found; the surest first

_File = tuple[PurePosixPath, Callable[[], IO[bytes]]]


@dataclass
class Submission:
    """What was found.

    Attributes:
        name: of the intern: that of the file or folder.
        answers: exercise → its code.
        empty: exercises whose cell is there and still as the course gives it.
        records: exercise → hints opened and the like, as the intern's own progress file says.
        other: names of further files, such as the journal and the report.
        problems: what could not be read, a sentence each.
    """

    name: str
    answers: dict[str, str] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    records: dict[str, Record] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Cell(msgspec.Struct):
    cell_type: Any = ""
    source: Any = ""
    metadata: Any = None


class _Notebook(msgspec.Struct):
    cells: list[_Cell]


@dataclass(frozen=True)
class _Piece:
    """Code that may be the answer to an exercise: where it was found, how sure that is, and what was there."""

    exercise: str
    sureness: int
    code: str


def read(path: Path, name: str) -> Submission:
    """Read what somebody handed in. Whatever is wrong with it becomes a sentence in `problems`."""
    found, pieces, amount = Submission(name), list[_Piece](), 0
    try:
        with _opened(path) as place:
            for count, (inner, content_of) in enumerate(_files(place, found.problems), 1):
                content = _content(inner, content_of, found.problems)
                amount += len(content)
                if count > FILES or amount > ALL_BYTES:
                    raise ValueError(f"more than {FILES:,} files or {ALL_BYTES >> 20} MB: the rest was left unread")
                pieces += _take(inner, content, found) if content else []
    except UNREADABLE as error:
        found.problems.append(f"{path.name}: {_short(error)}.")
    for exercise in EXERCISES:
        _choose(exercise, [piece for piece in pieces if piece.exercise == exercise], found)
    return found


def _content(inner: PurePosixPath, content_of: Callable[[], IO[bytes]], problems: list[str]) -> bytes:
    """At most `FILE_BYTES` of a file; nothing, and a sentence, where it can't be read."""
    try:
        with content_of() as file:
            content = file.read(FILE_BYTES + 1)
        if len(content) <= FILE_BYTES:
            return content
        problems.append(
            f"{inner}: more than {FILE_BYTES >> 20} MB. Clear the outputs of a notebook before handing it in."
        )
    except UNREADABLE as error:
        problems.append(f"{inner}: can't be read ({_short(error)}).")
    return b""


def _take(inner: PurePosixPath, content: bytes, found: Submission) -> list[_Piece]:
    """Sort one file in."""
    try:
        if inner.suffix == ".ipynb":
            return list(_cells(content))
        if inner.suffix == ".py":
            return [_Piece(inner.stem, WORKBOOK, _code(content.decode()))]
        if inner.name == "progress.json":
            found.records |= msgspec.json.decode(content, type=Progress).exercises
        if inner.name in KEPT:
            found.other.append(inner.name)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        kind = "notebook" if inner.suffix == ".ipynb" else "file of the course"
        found.problems.append(f"{inner}: can't be read as a {kind} ({_short(error)}).")
    return []


def _choose(exercise: str, pieces: list[_Piece], found: Submission) -> None:
    """The workbook's version, which is what the intern ran last; else the surest and last cell that isn't empty."""
    written = [piece for piece in pieces if not is_empty(exercise, piece.code)]
    if not written:
        found.empty |= {exercise} if pieces else set()
        return
    cells = [piece for piece in written if piece.sureness != WORKBOOK]
    stored = [piece for piece in written if piece.sureness == WORKBOOK]
    best = stored[-1] if stored else max(reversed(cells), key=lambda piece: piece.sureness)
    found.answers[exercise] = best.code
    sure = [piece.code.strip() for piece in cells if piece.sureness == CELL]
    if stored and sure and best.code.strip() not in sure:
        found.problems.append(
            f"{exercise}: the notebook and {PACKAGE}/{exercise}.py differ. Graded is the latter, which ran last."
        )


def _cells(content: bytes) -> Iterator[_Piece]:
    """Answers among the cells of a notebook: by `%%exercise`, by nbgrader's id, else by what a cell defines."""
    for cell in msgspec.json.decode(content, type=_Notebook).cells:
        lines = cell.source if isinstance(cell.source, list) else [cell.source]
        text = "".join(line for line in lines if isinstance(line, str)).lstrip()
        if cell.cell_type != "code" or not text:
            continue
        magic = re.match(r"%%exercise[ \t]+(\w+)[^\n]*\n?", text)
        code = text[magic.end() :] if magic else text
        if len(code) > CODE_BYTES:
            continue
        yield from (_Piece(one, how, code) for one, how in _names(magic[1] if magic else "", cell.metadata, code))


def _names(magic: str, metadata: Any, code: str) -> list[tuple[str, int]]:
    if magic in EXERCISES:
        return [(magic, CELL)]
    noted = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = noted.get("grade_id") if isinstance(noted, dict) else None
    if isinstance(grade_id, str) and grade_id in EXERCISES:
        return [(grade_id, GRADE_ID)]
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    defined = [one.name for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef)]
    return [(one, DEFINITION) for one in defined if one in EXERCISES]


def _code(text: str) -> str:
    if len(text) > CODE_BYTES:
        raise ValueError(f"{len(text):,} characters are no answer to an exercise")
    return text


@contextmanager
def _opened(path: Path) -> Iterator[Path | zipfile.ZipFile]:
    if path.is_symlink():
        raise ValueError("a link to somewhere else, left unread")
    if path.is_dir() or path.suffix == ".ipynb":
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        yield archive


def _files(place: Path | zipfile.ZipFile, problems: list[str]) -> Iterator[_File]:
    """The files that matter and how to open them, in the order of their names."""
    if isinstance(place, zipfile.ZipFile):
        return _of_zip(place, problems)
    return _of_folder(place, problems) if place.is_dir() else iter([(PurePosixPath(place.name), partial(_open, place))])


def _of_folder(folder: Path, problems: list[str]) -> Iterator[_File]:
    for top, folders, names in os.walk(folder):  # it follows no links
        folders[:] = sorted(set(folders) - UNREAD)
        for path in (Path(top, one) for one in sorted([*names, *folders])):
            inner = PurePosixPath(path.relative_to(folder).as_posix())
            if path.is_symlink():
                problems.append(f"{inner}: a link to somewhere else. It was left unread.")
            elif path.is_file() and _matters(inner):
                yield inner, partial(_open, path)


def _open(path: Path) -> IO[bytes]:
    """Not a link, nor a pipe, which would never end: it may have changed since it was looked at."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise ValueError("it is no file")


def _of_zip(archive: zipfile.ZipFile, problems: list[str]) -> Iterator[_File]:
    """Read in memory: nothing is unpacked, so nothing can climb out. What tries to is named."""
    for member in sorted(archive.infolist(), key=lambda one: one.filename):
        inner = PurePosixPath(member.filename.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts or re.match(r"[A-Za-z]:", member.filename):
            problems.append(f"{str(inner)[:100]}: a path that leads out of the file. It was left unread.")
        elif stat.S_ISLNK(member.external_attr >> 16):
            problems.append(f"{str(inner)[:100]}: a link to somewhere else. It was left unread.")
        elif not member.is_dir() and _matters(inner):
            yield inner, partial(archive.open, member)


def _matters(inner: PurePosixPath) -> bool:
    if UNREAD & set(inner.parts) or any(part.startswith("__MACOSX") for part in inner.parts):
        return False
    is_answer = inner.suffix == ".py" and inner.stem in EXERCISES and inner.parent.name in (PACKAGE, "")
    return inner.suffix == ".ipynb" or inner.name in KEPT or is_answer


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:160].rstrip(".")
