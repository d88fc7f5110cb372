"""The lessons' machinery. `from coursekit.lessons import check` in a notebook makes `%%exercise` known there, too."""

from typing import Any

__all__ = ["catch", "check", "examine", "hint", "journal", "length", "lesson_map", "reference"]


def __getattr__(name: str) -> Any:
    """Import on demand: the command line builds and copies lessons without waiting for torch."""
    if name not in __all__:
        raise AttributeError(name)
    from coursekit.lessons.notebooks import lengths
    from coursekit.lessons.notebooks import magics as notebook

    notebook.register()
    return lengths.length if name == "length" else getattr(notebook, name)
