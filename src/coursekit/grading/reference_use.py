"""Notice, in an answer's own process, when it calls the reference or uses anything that ships with the exercises."""

import dataclasses
import functools
import sys
from types import ModuleType
from typing import Any


def note_use(name: str) -> list[bool]:
    """Record every call of the reference solution, however it was obtained, and every use of what the exercises ship.

    This catches answers that look the solution up by a trick. It runs in the answer's own process, so it can be evaded.

    Returns:
        A list that gets an entry at each use.
    """
    from coursekit.lessons.checking.borrowed import SHIPPED
    from coursekit.lessons.exercises import EXERCISES

    used: list[bool] = []
    exercise, own = EXERCISES[name], sys.modules[f"{SHIPPED}.{name}"]
    noted = _noted(exercise.reference, used)
    shipped = {key for key in sys.modules if key.startswith(f"{SHIPPED}.")}
    for module in [sys.modules[key] for key in sys.modules if key.split(".")[0] == "coursekit" and key not in shipped]:
        for key in [key for key, value in vars(module).items() if value is exercise.reference]:
            setattr(module, key, noted)
    for key in shipped:
        sys.modules[key].__class__ = _watched(used)
    right = tuple(_noted(answer, used) for answer in exercise.right)
    vars(own)["EXERCISE"] = dataclasses.replace(exercise, reference=noted, right=right)
    return used


def _noted(answer: Any, used: list[bool]) -> Any:
    """Return an answer that records its calls. A class stays the same and records that it is instantiated."""
    first = answer.__init__ if isinstance(answer, type) else answer  # type: ignore[misc]

    @functools.wraps(first)
    def call(*args: Any, **kwargs: Any) -> Any:
        used.append(True)
        return first(*args, **kwargs)

    if not isinstance(answer, type):
        return call
    answer.__init__ = call  # type: ignore[misc]
    return answer


def _watched(used: list[bool]) -> type[ModuleType]:
    """Return a kind of module that records when anything is taken from it. Its own functions use it unnoticed."""

    class Watched(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("__") and name != "EXERCISE":
                used.append(True)
            return super().__getattribute__(name)

    return Watched
