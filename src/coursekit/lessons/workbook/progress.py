"""An intern's progress: a plain JSON file beside the notebooks."""

import os
import warnings
from pathlib import Path

import msgspec

from coursekit.core.files import make_folder, new_file
from coursekit.lessons.workbook.workbook import PACKAGE, Workbook

FILE = "progress.json"


class Record(msgspec.Struct):
    """Progress on one exercise.

    Attributes:
        state: result of the last check: "not yet", "borrowed" or "correct".
        code: digest of the version checked last.
        attempts: digests of all versions that were not right.
        hints: number of hints opened.
        seen: whether the reference solution was shown.
        mistake: the likely mistake of the last attempt, in words; empty if none was recognized.
        caught: whether the reader's inputs to `catch` let no known wrong answer through.
        origin: how the right answer came about, as its author says: "wrote it", "after an explanation", "generated";
            empty if they haven't said.
    """

    state: str = ""
    code: str = ""
    attempts: list[str] = []
    hints: int = 0
    seen: bool = False
    mistake: str = ""
    caught: bool = False
    origin: str = ""


class Progress(msgspec.Struct):
    """The content of `progress.json`."""

    exercises: dict[str, Record] = {}
    version: int = 1


def load(workbook: Workbook) -> Progress:
    """Load the progress so far. A damaged file is set aside; states are then found again from the workbook."""
    path = workbook.beside(FILE)
    if not path.exists():
        return Progress()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        aside = _free_name(path.with_suffix(".broken.json"))
        os.replace(path, aside)  # noqa: PTH105
        warnings.warn(
            f"{path}: damaged ({error}). It was renamed to {aside.name}. Your answers in {PACKAGE} are checked again; "
            "only the number of hints you opened starts from zero.",
            stacklevel=2,
        )
        return Progress()


def record(workbook: Workbook, name: str) -> Record:
    """Return the progress on one exercise."""
    return load(workbook).exercises.get(name) or Record()


def save(workbook: Workbook, name: str, changed: Record) -> None:
    """Save the progress on one exercise."""
    path, progress = workbook.beside(FILE), load(workbook)
    progress.exercises[name] = changed
    make_folder(path.parent)
    with new_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(progress)) + b"\n")


def _free_name(wanted: Path) -> Path:
    number = 1
    while (free := wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")).exists():
        number += 1
    return free
