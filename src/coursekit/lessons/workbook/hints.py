"""Hints that open one at a time, and at the end the reference solution."""

import inspect

import msgspec

from coursekit.lessons.checking.verdict import find
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.workbook import Workbook


def open_hint(workbook: Workbook, name: str) -> str:
    """Return the next hint of an exercise and count it; after the last, return all of them again.

    Raises:
        ConfigError: there is no such exercise.
    """
    exercise, record = find(name), progress.record(workbook, name)
    opened = min(record.hints + 1, len(exercise.hints))
    progress.save(workbook, name, msgspec.structs.replace(record, hints=opened))
    texts = [f"Hint {number} of {len(exercise.hints)}: {text}" for number, text in enumerate(exercise.hints, 1)]
    if record.hints < len(exercise.hints):
        return texts[opened - 1]
    return "\n".join([*texts, f'Those were all the hints. To see the course\'s solution: reference("{name}")'])


def likely_mistake(workbook: Workbook, name: str) -> str:
    """Return the known mistake that the last wrong answer looks like, in a sentence.

    Raises:
        ConfigError: there is no such exercise.
    """
    find(name)
    record = progress.record(workbook, name)
    if record.state != "not yet":
        return f'There is no wrong answer to {name} yet. First run check("{name}").'
    if not record.mistake:
        return "It is none of the mistakes that the course knows. The failing case says what differs; a hint may help."
    return f"It looks like this: {record.mistake}."


def show_reference(workbook: Workbook, name: str) -> str:
    """Return the code of the reference solution and record that it was seen. It is shown once all hints are open.

    Raises:
        ConfigError: there is no such exercise.
    """
    exercise, record = find(name), progress.record(workbook, name)
    left = len(exercise.hints) - record.hints
    if left > 0:
        return f'There {"is 1 hint" if left == 1 else f"are {left} hints"} left: hint("{name}")'
    progress.save(workbook, name, msgspec.structs.replace(record, seen=True))
    return inspect.getsource(exercise.reference)
