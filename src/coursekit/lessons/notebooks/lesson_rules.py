"""What the build refuses in a lesson: too much given code, too little to do, a heading that says something else.

Each given cell has a tag that says what it is for; docs/writing-lessons.md explains them.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

from coursekit.lessons.course import LESSONS, badge_of

Cell = dict[str, Any]

STATEMENTS = {"setup": 8, "call": 5, "read": 15, "variants": 25, "write": 6}  # at most, in a cell with this tag
LINES_PER_STATEMENT = 2  # so that a call may list what it compares, one on a line
MOST_LINES = {10: 160}  # of given code in a lesson
MOST_LINES_OTHERWISE = 120
MOST_IN_A_ROW = 2  # given cells between two in which the reader does something
# With these, the reader does something; their cells need no tag.
ENGINE = {"catch", "check", "examine", "explain", "hint", "journal", "lesson_map", "mistake", "recall", "reference"}
READER_DOES_NOTHING = {"journal", "lesson_map", "recall", "reference"}
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
ENFORCED = tuple(LESSONS)  # the lessons that must keep these rules
LEAST_SHARE = 0.6  # of a lesson's minutes, for its exercises
MOSTLY_READ = (0, 10)  # lessons that need no such share
HEADING = re.compile(r"^### Exercise [\d.]+ · `(\w+)` · [●○]{3} · (\d+) min(?: · (.+))?$", re.MULTILINE)


def given_code_problems(lesson: int, cells: list[Cell]) -> Iterator[str]:
    """Yield what is wrong with the given code of a student's notebook, one sentence each.

    Args:
        lesson: its number.
        cells: the notebook's cells.
    """
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    yield from (f"the cell that begins {_first_line(cell)!r} is not Python alone." for cell in code if _has_magic(cell))
    code = [cell for cell in code if not _has_magic(cell)]
    given = [cell for cell in code if kind_of(cell) in STATEMENTS and kind_of(cell) != "write"]
    for cell in code:
        yield from (f"the cell that begins {_first_line(cell)!r} {what}" for what in _problems_of(cell))
    for cell in _in_a_row(code):
        yield f"the cell that begins {_first_line(cell)!r} is the third in a row in which the reader does nothing."
    lines, most = sum(len(code_lines(cell["source"])) for cell in given), MOST_LINES.get(lesson, MOST_LINES_OTHERWISE)
    if lines > most:
        yield f"it gives {lines} lines of code to read; {most} are allowed. Move loops and drawing into the library."


def kind_of(cell: Cell) -> str:
    """Return "exercise", "engine", a key of STATEMENTS, or "" for a cell that lacks a tag."""
    source = cell["source"]
    if source.startswith("%%exercise "):
        return "exercise"
    if _called(source) <= ENGINE and _called(source):
        return "engine"
    tags = cell["metadata"].get("tags", [])
    return next((kind for kind in ("variants", *STATEMENTS) if kind in tags), "")


def _has_magic(cell: Cell) -> bool:
    """Return whether a cell can't be counted, as with `%%time` or `!ls`."""
    try:
        return kind_of(cell) != "exercise" and not ast.parse(cell["source"])
    except SyntaxError:
        return True


def statements(code: str) -> int:
    """Count the statements of a cell, docstrings apart. Joining lines doesn't change the number."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt)]
    return sum(not _is_text(node) for node in nodes)


def code_lines(code: str) -> set[int]:
    """Return the numbers of the lines that hold code. Blank lines, comments and docstrings hold none."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    held = {row for token in tokens if token.type not in LAYOUT for row in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.stmt) and _is_text(node):
            held -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return held


def _problems_of(cell: Cell) -> Iterator[str]:
    kind, code = kind_of(cell), cell["source"]
    if kind in ("exercise", "engine"):
        return
    if not kind:
        yield f"has no tag. Tag it with one of: {', '.join(STATEMENTS)}."
        return
    count, lines, most = statements(code), len(code_lines(code)), STATEMENTS[kind]
    if count > most:
        yield f'has {count} statements; one tagged "{kind}" may have {most}.'
    elif lines > LINES_PER_STATEMENT * most:
        yield f'has {lines} lines; one tagged "{kind}" may have {LINES_PER_STATEMENT * most}.'
    if "matplotlib" in code or "Figure(" in code:
        yield "draws. A figure is one call of coursekit.show."
    elif kind in ("read", "variants") and "show." in code:
        yield f'shows a picture, which one tagged "{kind}" may not: put the call into a cell of its own.'


def _in_a_row(code: list[Cell]) -> Iterator[Cell]:
    """Yield each cell that is one too many since the reader last did something."""
    passive = 0
    for cell in code:
        if _is_active(cell):
            passive = 0
        elif kind_of(cell) != "engine":
            passive += 1
            if passive > MOST_IN_A_ROW:
                yield cell


def _is_active(cell: Cell) -> bool:
    kind = kind_of(cell)
    return kind in ("exercise", "write") or (kind == "engine" and not _called(cell["source"]) <= READER_DOES_NOTHING)


def _called(code: str) -> set[str]:
    """Return the names of the functions that a cell calls if it does nothing else; else an empty set."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return set()
    calls = [node.value for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return {ast.unparse(call.func) for call in calls} if len(calls) == len(body) else set()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _first_line(cell: Cell) -> str:
    return next((line for line in cell["source"].splitlines() if line.strip() and not line.startswith("#")), "")


def problems(lesson: int, cells: list[Cell], minutes: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with a student's notebook, one sentence each.

    Args:
        lesson: its number.
        cells: the notebook's cells.
        minutes: how long each exercise takes, by its name.
    """
    yield from given_code_problems(lesson, cells)
    names = [cell["id"] for cell in cells if "nbgrader" in cell["metadata"]]
    yield from _too_little_to_do(lesson, sum(minutes[name] for name in names))
    pages = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    headings = {name: (int(length), badge) for name, length, badge in HEADING.findall(pages)}
    for name in names:
        right = minutes[name], badge_of(name)
        if headings.get(name) != right:
            yield f"{name} needs a heading that ends in “· {right[0]} min · {right[1]}”; it has {headings.get(name)}."


def _too_little_to_do(lesson: int, doing: int) -> Iterator[str]:
    whole = LESSONS[lesson].minutes
    if lesson not in MOSTLY_READ and doing < LEAST_SHARE * whole:
        yield f"exercises take {doing} of its {whole} minutes; at least {LEAST_SHARE:.0%} are needed."
