"""Is an answer the intern's own, or is it made of somebody else's function?"""

import ast
from collections.abc import Iterator
from typing import Any

from coursekit.lessons.exercise import Exercise

SHIPPED = "coursekit.lessons.exercises"  # references, right answers and nearly right ones: none of it is the intern's


def borrowed_from(exercise: Exercise, code: str) -> str | None:
    """Return the function that an answer is made of, as in "torchvision.ops.nms"; None if it is the intern's own.

    An answer is borrowed if, anywhere in the cell, it uses the reference, a function that `exercise.library` names, or
    anything that ships with the exercises.
    """
    tree = ast.parse(code)
    names = _imported(tree)
    used = [names.get(exercise.name), *(_dotted(node, names) for node in ast.walk(tree))]
    lent = [dotted for dotted in used if dotted and _is_lent(dotted, exercise)]
    return next(iter([*lent, *filter(_is_shipped, _mentioned(tree))]), None)


def _is_lent(dotted: str, exercise: Exercise) -> bool:
    if _is_shipped(dotted):
        return True
    package, last = dotted.split(".")[0], dotted.split(".")[-1]
    is_ours = package in ("coursekit", "my_detector") and last in (exercise.name, exercise.reference.__name__)
    return is_ours or any((package, last) == (name.split(".")[0], name.split(".")[-1]) for name in exercise.library)


def _is_shipped(dotted: str) -> bool:
    return f"{dotted}.".startswith(f"{SHIPPED}.")


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return where each imported name of the cell comes from."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _mentioned(tree: ast.AST) -> Iterator[str]:
    """Yield modules that are imported without being used, or by their name in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _dotted(node: Any, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, names)
        return f"{before}.{node.attr}" if before else None
    return None
