"""Read what an intern handed in, a zip, a folder or a notebook, as the code of each exercise. Nothing is run."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from coursekit.grading.handed_in import OTHER, File, files, opened
from coursekit.grading.notebook import CELL, CODE_BYTES, WORKBOOK, Piece, pieces
from coursekit.grading.problems import Problems
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.progress import Record
from coursekit.lessons.workbook.stubs import is_empty
from coursekit.lessons.workbook.workbook import PACKAGE

FILE_BYTES, ALL_BYTES, FILES = 100 << 20, 300 << 20, 5000
ALL_CODE = 10 << 20  # characters of all answers together; a complete submission has 60,000
PROGRESS_BYTES = 4 << 20


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


class _Progress(msgspec.Struct):
    exercises: dict[str, msgspec.Raw] = {}


def read(path: Path, name: str) -> Submission:
    """Read a submission. Whatever is wrong with it becomes a sentence in `problems`."""
    submission, problems, found = Submission(name), Problems(), list[Piece]()
    try:
        for piece in _pieces(path, submission, problems):
            found.append(piece)
    except Exception as error:  # a zip can be wrong in ways that nobody has thought of
        problems.add(path.name, _short(error))
    submission.problems = problems.sentences()
    for exercise in EXERCISES:
        _choose(exercise, [piece for piece in found if piece.exercise == exercise], submission)
    if not found and not submission.problems:
        submission.problems.append(
            f"no exercise was found in it, neither in notebooks nor in {PACKAGE}. A zip in a zip is not read."
        )
    return submission


def _pieces(path: Path, submission: Submission, problems: Problems) -> Iterator[Piece]:
    """Yield the code in all files.

    Raises:
        ValueError: there is too much to read.
        Exception: the zip is damaged.
    """
    amount = code = 0
    with opened(path) as place:
        for count, file in enumerate(files(place, problems), 1):
            content = _content(file, problems)
            amount += len(content or b"")
            if count > FILES or amount > ALL_BYTES:
                raise ValueError(f"more than {FILES:,} files or {ALL_BYTES >> 20} MB: the rest was not read")
            for piece in _take(file.inner, content, submission, problems) if content is not None else []:
                code += len(piece.code)
                if code > ALL_CODE:
                    raise ValueError(f"more than {ALL_CODE >> 20} MB of code: the rest was not read")
                yield piece


def _content(file: File, problems: Problems) -> bytes | None:
    """Return a file's content; None, and a sentence in `problems`, if it can't be read or is too large."""
    most = PROGRESS_BYTES if file.inner.name.lower() == "progress.json" else FILE_BYTES
    try:
        if file.size <= most:
            with file.open() as opened_file:
                return opened_file.read(most)
        advice = " Clear the outputs of a notebook before handing it in" if most == FILE_BYTES else ""
        problems.add(str(file.inner), f"more than {most >> 20} MB.{advice}")
    except Exception as error:  # see `read`
        problems.add(str(file.inner), f"can't be read ({_short(error)})")
    return None


def _take(inner: PurePosixPath, content: bytes, submission: Submission, problems: Problems) -> Iterator[Piece]:
    """Add one file to the submission, and yield the code in it."""
    suffix, name = inner.suffix.lower(), inner.name.lower()
    try:
        if suffix == ".ipynb":
            yield from pieces(content, lambda problem: problems.add(str(inner), problem))
        elif suffix == ".py":
            code = _code(content.decode("utf-8-sig"))
            yield from [Piece(inner.stem, WORKBOOK, code)] if code.strip() else []
        elif name == "progress.json":
            submission.records |= _records(content)
        if name in OTHER:
            submission.other.append(name)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        kind = "notebook" if suffix == ".ipynb" else "file of the course"
        problems.add(str(inner), f"can't be read as a {kind} ({_short(error)})")


def _records(content: bytes) -> dict[str, Record]:
    written = msgspec.json.decode(content, type=_Progress).exercises
    return {name: msgspec.json.decode(written[name], type=Record) for name in EXERCISES if name in written}


def _choose(exercise: str, found: list[Piece], submission: Submission) -> None:
    """Choose the workbook's version, which the intern ran last.

    If there is none, choose the last nonempty cell with the strongest match.
    """
    written = [piece for piece in found if not is_empty(exercise, piece.code)]
    if not written:
        submission.empty |= {exercise} if found else set()
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


def _code(text: str) -> str:
    if len(text) > CODE_BYTES:
        raise ValueError(f"{len(text):,} characters are too long for an answer")
    return text


def _short(error: BaseException) -> str:
    """Return an error in words, without the name of the file."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, zipfile.BadZipFile):
        text = re.split(r" for file |File name in", text)[0] or "damaged"
    return (text or type(error).__name__)[:160].rstrip(".")
