"""Does an input have the shapes that the docstring of its exercise promises?"""

import re
from functools import cache
from typing import Any

from torch import Tensor

from coursekit.core.errors import ConfigError
from coursekit.lessons.description import describe
from coursekit.lessons.exercise import Exercise


def wrong_shape(exercise: Exercise, args: tuple[Any, ...]) -> str:
    """Return which tensor of an input has another shape than the docstring says; an empty text if none has."""
    promised = _promised(exercise.name)
    for name, value in zip(exercise.argument_names(), args, strict=False):
        shape = promised.get(name)
        if shape and isinstance(value, Tensor) and not _fits(tuple(value.shape), shape):
            return f"{name} has the shape {tuple(value.shape)}, but it should be ({shape})"
    return ""


@cache
def _promised(name: str) -> dict[str, str]:
    """Return the shape of each argument, such as "N, 4", where its description begins with one."""
    try:
        takes = [pair for description in describe(name) for pair in description.takes.items()]
    except ConfigError:
        return {}
    found = [(names, re.match(r"\(([\w., ]+)\)", text)) for names, text in takes]
    return {name: shape[1] for names, shape in found if shape for name in names.split(", ")}


def _fits(shape: tuple[int, ...], promised: str) -> bool:
    """Return whether a shape is one of those promised: "N, 4", or "..., 4" with any number of dimensions before."""
    wanted = [word for word in promised.replace(" ", "").split(",") if word]
    if wanted and wanted[0] in ("...", "…"):
        wanted = ["", *wanted[1:]]
        shape = (0, *shape[len(shape) + 1 - len(wanted) :]) if len(shape) >= len(wanted) - 1 else ()
    sizes = zip(wanted, shape, strict=False)
    return len(wanted) == len(shape) and all(int(word) == size for word, size in sizes if word.isdigit())
