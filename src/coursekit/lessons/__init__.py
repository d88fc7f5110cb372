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
    "short_form",
]


def __getattr__(name: str) -> Any:
    """Import on demand: the command line builds and copies lessons without waiting for torch."""
    if name not in __all__:
        raise AttributeError(name)
    from coursekit.lessons.notebooks import short_form
    from coursekit.lessons.notebooks.notebook_session import session

    return getattr(short_form if name in ("quick", "short_form") else session(), name)
