"""How a right answer came about, as its author says. The report shows it."""

import msgspec

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking.verdict import find
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.workbook import Workbook

ORIGINS = ("wrote it", "after an explanation", "generated")


def note_origin(workbook: Workbook, name: str, origin: str) -> None:
    """Remember how the answer to an exercise came about.

    Raises:
        ConfigError: there is no such exercise, or `origin` is none of `ORIGINS`.
    """
    if origin not in ORIGINS:
        raise ConfigError(f"{origin!r}: choose one of {', '.join(map(repr, ORIGINS))}.")
    record = progress.record(workbook, find(name).name)
    progress.save(workbook, name, msgspec.structs.replace(record, origin=origin))
