"""What an intern has done so far: a plain JSON file beside the notebooks."""

import os
import warnings
from pathlib import Path

import msgspec

from coursekit.core.files import make_folder, new_file
from coursekit.lessons.workbook import workbook

FILE = "progress.json"


class Record(msgspec.Struct):
    """One exercise.

    Attributes:
        state: of the version that was checked last: "not yet", "borrowed" or "correct".
        code: mark of that version.
        attempts: marks of all versions that were not right.
        hints: how many were opened.
        seen: whether the reference was.
        mistake: the likely mistake of the last attempt, in words, where one was recognised.
    """

    state: str = ""
    code: str = ""
    attempts: list[str] = []
    hints: int = 0
    seen: bool = False
    mistake: str = ""


class Progress(msgspec.Struct):
    """The whole file."""

    exercises: dict[str, Record] = {}
    version: int = 1


def path() -> Path:
    """Beside the workbook."""
    return workbook.folder().parent / FILE


def load() -> Progress:
    """The progress so far. A broken file is set aside; states are then read again from the workbook."""
    if not path().exists():
        return Progress()
    try:
        return msgspec.json.decode(path().read_bytes(), type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        aside = _free_name(path().with_suffix(".broken.json"))
        os.replace(path(), aside)  # noqa: PTH105
        warnings.warn(
            f"{path()}: damaged ({error}). It is now {aside.name}; what is done is read again from {workbook.PACKAGE}, "
            "and only the count of hints begins anew.",
            stacklevel=2,
        )
        return Progress()


def record(name: str) -> Record:
    """That of one exercise."""
    return load().exercises.get(name) or Record()


def save(name: str, changed: Record) -> None:
    """Keep that of one exercise."""
    progress = load()
    progress.exercises[name] = changed
    make_folder(path().parent)
    with new_file(path()) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(progress)) + b"\n")


def _free_name(wanted: Path) -> Path:
    number = 1
    while (free := wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")).exists():
        number += 1
    return free
