"""Stubs: the lines that a cell of the course has where the answer goes."""

import ast
from collections.abc import Iterator

from coursekit.lessons.course import REGIONS

LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def empty_line(name: str) -> str:
    """Return a stub."""
    return f'raise NotImplementedError("{name}: your code here")'


def open_stubs(name: str, code: str) -> list[int]:
    """Return the lines of the stubs that can still be reached, counted from 1.

    A stub in a comment or after a `return` is none. In a cell that doesn't parse, each line that is a stub counts.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = [line.strip() for line in code.splitlines()]
        return [number for number, line in enumerate(lines, 1) if line == empty_line(name)]
    return sorted(node.lineno for node in _reachable(tree.body) if ast.unparse(node) == _unparsed(name))


def is_empty(name: str, code: str) -> bool:
    """Return whether a cell is still as the course gives it: none of its stubs is replaced."""
    return len(open_stubs(name, code)) >= REGIONS.get(name, 1)


def _unparsed(name: str) -> str:
    return ast.unparse(ast.parse(empty_line(name)))


def _reachable(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block and of the blocks in it, up to the first that leaves the block."""
    for statement in body:
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from _reachable(getattr(statement, field, []))
        for inner in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from _reachable(inner.body)
        if isinstance(statement, LEAVES):
            return
