"""The lessons' machinery. In a notebook, `from coursekit.lessons import check` also registers `%%exercise`."""

from typing import Any

__all__ = [
    "catch",
    "check",
    "examine",
    "explain",
    "hint",
    "journal",
    "lesson_map",
    "mistake",
    "my_workbook",
    "quick",
    "recall",
    "reference",
]


def __getattr__(name: str) -> Any:
    """Import on demand: the command line builds and copies lessons without waiting for torch."""
    if name not in __all__:
        raise AttributeError(name)
    from coursekit.lessons.notebooks.lengths import quick
    from coursekit.lessons.notebooks.magics import session

    return quick if name == "quick" else getattr(session(), name)
