"""The exercises, a file each: `NAME.py` has the cases, hints, wrong and right answers of the exercise `NAME`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from coursekit.lessons.course import LESSONS

if TYPE_CHECKING:  # it imports torch
    from coursekit.lessons.exercise import Exercise

FOLDER = Path(__file__).parent


class _ByName(Mapping[str, "Exercise"]):
    """All exercises by name, in the order of the course. A file is imported when its exercise is asked for."""

    def __init__(self) -> None:
        self._names = dict.fromkeys(name for lesson in LESSONS.values() for name in lesson.exercises)

    def __getitem__(self, name: str) -> "Exercise":
        if name not in self._names:
            raise KeyError(name)
        exercise: Exercise = import_module(f"{__name__}.{name}").EXERCISE
        return exercise

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


EXERCISES: Mapping[str, "Exercise"] = _ByName()
