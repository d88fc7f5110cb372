"""Hints, one at a time, and at the end the reference."""

import inspect

import msgspec

from coursekit.lessons.checking.verdict import find
from coursekit.lessons.workbook import progress


def open_hint(name: str) -> str:
    """The next hint of an exercise; after the last, all of them again. It is counted.

    Raises:
        ConfigError: there is no such exercise.
    """
    exercise, record = find(name), progress.record(name)
    opened = min(record.hints + 1, len(exercise.hints))
    progress.save(name, msgspec.structs.replace(record, hints=opened))
    texts = [f"Hint {number} of {len(exercise.hints)}: {text}" for number, text in enumerate(exercise.hints, 1)]
    if record.hints < len(exercise.hints):
        return texts[opened - 1]
    return "\n".join([*texts, f'That was all of them. The course\'s answer: reference("{name}")'])


def show_reference(name: str) -> str:
    """The course's own code, once all hints were opened. It is marked as seen.

    Raises:
        ConfigError: there is no such exercise.
    """
    exercise, record = find(name), progress.record(name)
    left = len(exercise.hints) - record.hints
    if left > 0:
        return f'There {"is one hint" if left == 1 else f"are {left} hints"} left: hint("{name}")'
    progress.save(name, msgspec.structs.replace(record, seen=True))
    return inspect.getsource(exercise.reference)
