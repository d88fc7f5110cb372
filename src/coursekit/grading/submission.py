"""Read what an intern handed in, a zip, a folder or a notebook, as the code of each exercise. Nothing is run."""

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
IGNORED = {"former", ".ipynb_checkpoints", "__pycache__", ".git", ".venv"}
OTHER = ("progress.json", "journal.json", "answers.json", "report.html")
UNREADABLE = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
CELL, GRADE_ID, DEFINITION, WORKBOOK = range(4, 0, -1)  # how an answer was recognized; the surest way first

_File = tuple[PurePosixPath, Callable[[], IO[bytes]]]


@dataclass
class Submission:
    """What an intern handed in.

    Attributes:
        name: name of the intern; it is the name of the file or folder.
        answers: exercise → code.
        empty: exercises whose cell is still as the course gives it.
        records: exercise → hints opened and so on, as the intern's own progress file says.
        other: names of other files, such as the journal and the report.
        problems: what could not be read, one sentence each.
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
    """Code that may be the answer to an exercise, and how sure that is."""

    exercise: str
    sureness: int
    code: str


def read(path: Path, name: str) -> Submission:
    """Read a submission. Whatever is wrong with it becomes a sentence in `problems`."""
    submission, pieces, amount = Submission(name), list[_Piece](), 0
    try:
        with _opened(path) as place:
            for count, (inner, content_of) in enumerate(_files(place, submission.problems), 1):
                content = _content(inner, content_of, submission.problems)
                amount += len(content)
                if count > FILES or amount > ALL_BYTES:
                    raise ValueError(f"more than {FILES:,} files or {ALL_BYTES >> 20} MB: the rest was not read")
                pieces += _take(inner, content, submission) if content else []
    except UNREADABLE as error:
        submission.problems.append(f"{path.name}: {_short(error)}.")
    for exercise in EXERCISES:
        _choose(exercise, [piece for piece in pieces if piece.exercise == exercise], submission)
    return submission


def _content(inner: PurePosixPath, content_of: Callable[[], IO[bytes]], problems: list[str]) -> bytes:
    """Return a file's content; nothing, and a sentence in `problems`, if it can't be read or is too large."""
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


def _take(inner: PurePosixPath, content: bytes, submission: Submission) -> list[_Piece]:
    """Add one file to the submission, and return the code in it."""
    try:
        if inner.suffix == ".ipynb":
            return list(_cells(content))
        if inner.suffix == ".py":
            return [_Piece(inner.stem, WORKBOOK, _code(content.decode()))]
        if inner.name == "progress.json":
            submission.records |= msgspec.json.decode(content, type=Progress).exercises
        if inner.name in OTHER:
            submission.other.append(inner.name)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        kind = "notebook" if inner.suffix == ".ipynb" else "file of the course"
        submission.problems.append(f"{inner}: can't be read as a {kind} ({_short(error)}).")
    return []


def _choose(exercise: str, pieces: list[_Piece], submission: Submission) -> None:
    """Choose the workbook's version, which the intern ran last.

    If there is none, choose the last nonempty cell with the strongest match.
    """
    written = [piece for piece in pieces if not is_empty(exercise, piece.code)]
    if not written:
        submission.empty |= {exercise} if pieces else set()
        return
    cells = [piece for piece in written if piece.sureness != WORKBOOK]
    stored = [piece for piece in written if piece.sureness == WORKBOOK]
    best = stored[-1] if stored else max(reversed(cells), key=lambda piece: piece.sureness)
    submission.answers[exercise] = best.code
    sure = [piece.code.strip() for piece in cells if piece.sureness == CELL]
    if stored and sure and best.code.strip() not in sure:
        submission.problems.append(
            f"{exercise}: the notebook and {PACKAGE}/{exercise}.py differ. The latter was graded, because it ran last."
        )


def _cells(content: bytes) -> Iterator[_Piece]:
    """Yield the answers in a notebook. They are recognized by `%%exercise`, nbgrader's id, or what a cell defines."""
    for cell in msgspec.json.decode(content, type=_Notebook).cells:
        lines = cell.source if isinstance(cell.source, list) else [cell.source]
        text = "".join(line for line in lines if isinstance(line, str)).lstrip()
        if cell.cell_type != "code" or not text:
            continue
        magic = re.match(r"%%exercise[ \t]+(\w+)[^\n]*\n?", text)
        code = text[magic.end() :] if magic else text
        if len(code) > CODE_BYTES:
            continue
        yield from (
            _Piece(name, sureness, code) for name, sureness in _names(magic[1] if magic else "", cell.metadata, code)
        )


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
    defined = [statement.name for statement in body if isinstance(statement, ast.FunctionDef | ast.ClassDef)]
    return [(name, DEFINITION) for name in defined if name in EXERCISES]


def _code(text: str) -> str:
    if len(text) > CODE_BYTES:
        raise ValueError(f"{len(text):,} characters are too long for an answer")
    return text


@contextmanager
def _opened(path: Path) -> Iterator[Path | zipfile.ZipFile]:
    if path.is_symlink():
        raise ValueError("it is a link, and was not read")
    if path.is_dir() or path.suffix == ".ipynb":
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        yield archive


def _files(place: Path | zipfile.ZipFile, problems: list[str]) -> Iterator[_File]:
    """Yield the relevant files in the order of their names, each with a function that opens it."""
    if isinstance(place, zipfile.ZipFile):
        return _of_zip(place, problems)
    return _of_folder(place, problems) if place.is_dir() else iter([(PurePosixPath(place.name), partial(_open, place))])


def _of_folder(folder: Path, problems: list[str]) -> Iterator[_File]:
    for top, folders, names in os.walk(folder):  # it doesn't follow links
        folders[:] = sorted(set(folders) - IGNORED)
        for path in (Path(top, name) for name in sorted([*names, *folders])):
            inner = PurePosixPath(path.relative_to(folder).as_posix())
            if path.is_symlink():
                problems.append(f"{inner}: it is a link, and was not read.")
            elif path.is_file() and _matters(inner):
                yield inner, partial(_open, path)


def _open(path: Path) -> IO[bytes]:
    """Open a file, unless it has become a link or a pipe, which would never end, since it was listed."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise ValueError("it is not a file")


def _of_zip(archive: zipfile.ZipFile, problems: list[str]) -> Iterator[_File]:
    """Yield the files of a zip. Nothing is unpacked, so no path can lead out of it; such a path is reported."""
    for member in sorted(archive.infolist(), key=lambda member: member.filename):
        inner = PurePosixPath(member.filename.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts or re.match(r"[A-Za-z]:", member.filename):
            problems.append(f"{str(inner)[:100]}: its path leads out of the zip. It was not read.")
        elif stat.S_ISLNK(member.external_attr >> 16):
            problems.append(f"{str(inner)[:100]}: it is a link, and was not read.")
        elif not member.is_dir() and _matters(inner):
            yield inner, partial(archive.open, member)


def _matters(inner: PurePosixPath) -> bool:
    if IGNORED & set(inner.parts) or any(part.startswith("__MACOSX") for part in inner.parts):
        return False
    is_answer = inner.suffix == ".py" and inner.stem in EXERCISES and inner.parent.name in (PACKAGE, "")
    return inner.suffix == ".ipynb" or inner.name in OTHER or is_answer


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:160].rstrip(".")
