"""Is an answer the intern's own, or is it made of somebody else's function?"""

import ast
from collections.abc import Iterator
from typing import Any

from coursekit.lessons.exercise import Exercise

SHIPPED = "coursekit.lessons.exercises"  # references, right answers and nearly right ones: none of it is the intern's


def borrowed_from(exercise: Exercise, code: str) -> str | None:
    """Return the function that an answer is made of, as in "torchvision.ops.nms"; None if it is the intern's own.

    An answer is borrowed if it, or what it calls in the cell, uses a function that `exercise.library` names; or if the
    cell uses the reference or anything that ships with the exercises, anywhere.
    """
    tree = ast.parse(code)
    names = _imported(tree)
    everywhere, own = list(ast.walk(tree)), list(_used_by(exercise.name, tree))
    dotted_names = filter(None, (_dotted(node, names) for node in everywhere))
    ours = [dotted for dotted in dotted_names if _is_shipped(dotted) or _is_ours(dotted, exercise)]
    theirs = [names.get(exercise.name) or "", *_sources(own, tree, names)]
    lent = [*ours, *(dotted for dotted in theirs if _is_lent(dotted, exercise))]
    return next(iter([*lent, *filter(_is_shipped, _mentioned(tree))]), None)


def _sources(nodes: list[ast.AST], tree: ast.Module, names: dict[str, str]) -> Iterator[str]:
    """Yield where the names in these nodes come from, as in "torchvision.ops.nms"."""
    yield from filter(None, (_dotted(node, names) for node in nodes))
    yield from _from_stars(tree, nodes)


def _used_by(name: str, tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a definition and of what it uses at the top of the cell.

    What the cell compares with, below the definition or in an `assert` or a `print`, is no part of the answer.
    """
    todo, done = [name], set[str]()
    while todo:
        name = todo.pop()
        done.add(name)
        for statement in tree.body:
            if name in _defined(statement):
                nodes = list(_walk(statement))
                yield from nodes
                todo += [node.id for node in nodes if isinstance(node, ast.Name) and node.id not in done]


def _defined(statement: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a cell defines; imports apart."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Expr | ast.Assert | ast.Import | ast.ImportFrom):
        return set()
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and those in it, without what is only asserted or printed."""
    if isinstance(node, ast.Assert) or _prints(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _prints(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call and isinstance(node.value.func, ast.Name) and node.value.func.id == "print"  # type: ignore[attr-defined]


def _from_stars(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[str]:
    """Yield where names may come from if the cell imports everything from a module."""
    stars = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    for module in filter(None, stars):
        yield from (f"{module}.{node.id}" for node in nodes if isinstance(node, ast.Name))


def _is_lent(dotted: str, exercise: Exercise) -> bool:
    """Return whether this is one of the functions elsewhere that do the same as the exercise's."""
    parts = dotted.removeprefix("torch.ops.").split(".")  # torch.ops.torchvision.nms is torchvision's
    library = [name.split(".") for name in exercise.library]
    return _is_ours(dotted, exercise) or any((parts[0], parts[-1]) == (name[0], name[-1]) for name in library)


def _is_ours(dotted: str, exercise: Exercise) -> bool:
    package, last = dotted.split(".")[0], dotted.split(".")[-1]
    return package in ("coursekit", "my_detector") and last in (exercise.name, exercise.reference.__name__)


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
