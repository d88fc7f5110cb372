"""Is an answer one's own, or a call of somebody else's function?"""

import ast
from typing import Any

from coursekit.lessons.exercise import Exercise


def borrowed_from(exercise: Exercise, code: str) -> str | None:
    """The function that an answer is made of, as in "torchvision.ops.nms"; None where it is the intern's own.

    It is borrowed where it uses the reference, or a function that `exercise.library` names, wherever in the cell.
    """
    tree = ast.parse(code)
    names = _imported(tree)
    used = [names.get(exercise.name), *(_dotted(node, names) for node in ast.walk(tree))]
    for dotted in used:
        if dotted and _same(dotted, exercise):
            return dotted
    return None


def _same(dotted: str, exercise: Exercise) -> bool:
    package, last = dotted.split(".")[0], dotted.split(".")[-1]
    ours = package in ("coursekit", "my_detector") and last in (exercise.name, exercise.reference.__name__)
    return ours or any(package == one.split(".")[0] and last == one.split(".")[-1] for one in exercise.library)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Name in the cell → where it comes from."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                names[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return names


def _dotted(node: Any, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.ImportFrom | ast.Import):
        return None
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value, names)
        return f"{before}.{node.attr}" if before else None
    return None
