"""Build the two notebooks of a lesson, in `solutions/` and `course/`, from its source `solutions/NN_name.py`."""

import ast
import hashlib
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jupytext

from coursekit.core.errors import ConfigError, CourseError
from coursekit.core.files import write_text
from coursekit.lessons.notebooks import lesson_rules
from coursekit.lessons.workbook.stubs import empty_line

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
INSTRUCTOR = "instructor"
RUN_FIRST = "# Run this cell first, and again after each restart of the kernel: %%exercise and check come from here."
LEAKS_FROM = 25  # characters
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
Notebook = dict[str, Any]


def build(root: Path | None = None, *, check: bool = False) -> list[Path]:
    """Write the notebooks of all lessons. The same source gives the same bytes.

    Args:
        root: the checkout, which has `solutions/` and `course/`; by default the one that this module is in.
        check: write nothing, and raise an error if something would be written.

    Returns:
        The notebooks that were written.

    Raises:
        CourseError: a source is wrong; with `check`, a notebook is stale or has no source.
    """
    root = root or checkout()
    wanted = {
        path: text
        for source in sorted((root / "solutions").glob("[0-9][0-9]_*.py"))
        for path, text in _notebooks(source, root)
    }
    orphans = [
        path for folder in ("solutions", "course") for path in (root / folder).glob("*.ipynb") if path not in wanted
    ]
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and (stale or orphans):
        names = ", ".join(str(path.relative_to(root)) for path in [*stale, *orphans])
        raise CourseError(f"out of date with the sources in solutions/: {names}. Run: coursekit lessons build")
    for path in [] if check else stale:
        write_text(path, wanted[path])
    for path in [] if check else orphans:
        path.unlink()
    return stale


def checkout() -> Path:
    """Return the top folder of the repository.

    Raises:
        ConfigError: this is not a checkout.
    """
    root = Path(__file__).parents[4]
    if not (root / "solutions").is_dir():
        raise ConfigError("This command needs a checkout of the repository, with its folder solutions/.")
    return root


def _notebooks(source: Path, root: Path) -> list[tuple[Path, str]]:
    solved = read_source(source)
    student = without_solutions(solved, source)
    _refuse_leaks(solved, student, source)
    _refuse_unchecked(student, source)
    _refuse_broken_rules(student, source)
    name = f"{source.stem}.ipynb"
    return [(root / "solutions" / name, as_text(solved)), (root / "course" / name, as_text(student))]


def _refuse_leaks(solved: Notebook, student: Notebook, source: Path) -> None:
    """Refuse a source if a line of a solution is anywhere in the student's version. Short lines may be."""
    pages = "\n".join(cell["source"] for cell in student["cells"])
    for cell in solved["cells"]:
        for line in _solution_lines(cell["source"]):
            if len(line) > LEAKS_FROM and line in pages:
                raise CourseError(f"{source}: a line of a solution is also in the student's version: {line!r}")


def _solution_lines(code: str) -> list[str]:
    regions = re.findall(rf"^\s*{BEGIN}\n(.*?)^\s*{END}", code, flags=re.DOTALL | re.MULTILINE)
    return [line.strip() for region in regions for line in region.splitlines()]


def _refuse_unchecked(student: Notebook, source: Path) -> None:
    """Refuse a source if an exercise has no solution region, no file with cases and hints, or no check after it."""
    known = known_exercises()
    code = [cell["source"] for cell in student["cells"] if cell["cell_type"] == "code"]
    for number, text in enumerate(code):
        name = exercise_of(text)
        if name is None:
            continue
        if name not in known:
            raise CourseError(f"{source}: {name} has no cases and hints. Write coursekit/lessons/exercises/{name}.py.")
        if f'"{name}: your code here"' not in text:
            raise CourseError(f"{source}: {name} has no solution between {BEGIN!r} and {END!r}.")
        if not any(f'check("{name}")' in later for later in code[number + 1 :]):
            raise CourseError(f'{source}: no cell after {name} calls check("{name}").')


def _refuse_broken_rules(student: Notebook, source: Path) -> None:
    lesson = int(source.stem[:2])
    broken = (
        list(lesson_rules.problems(lesson, student["cells"], known_exercises()))
        if lesson in lesson_rules.ENFORCED
        else []
    )
    if broken:
        raise CourseError("\n".join(f"{source}: {problem}" for problem in broken))


@cache
def known_exercises() -> dict[str, int]:
    """Return the minutes of the exercises that have cases and three hints, by name.

    Their files are read without importing torch, so that building takes a second instead of five.
    """
    files = sorted((Path(__file__).parents[1] / "exercises").glob("*.py"))
    found = {path.stem: _minutes(path) for path in files}
    return {name: minutes for name, minutes in found.items() if minutes is not None}


def _minutes(path: Path) -> int | None:
    """Return the minutes of a file's `EXERCISE = Exercise("NAME", …)`; None if it isn't complete.

    It is, if NAME is the file's own, and it has cases and three hints.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            keywords = {keyword.arg: keyword.value for keyword in node.value.keywords}
            hints, name = keywords.get("hints"), node.value.args[0]
            is_exercise = ast.unparse(node.targets[0]) == "EXERCISE" and "cases" in keywords
            has_hints = isinstance(hints, ast.Tuple) and len(hints.elts) == 3
            if is_exercise and has_hints and isinstance(name, ast.Constant) and name.value == path.stem:
                return int(ast.literal_eval(keywords["minutes"]))
    return None


def read_source(source: Path) -> Notebook:
    """Return a lesson's source as a notebook with fixed ids, nbgrader's metadata, and no outputs."""
    notebook: Notebook = json.loads(json.dumps(jupytext.read(source, fmt="py:percent")))
    seen: Counter[str] = Counter()
    cells = [_plain_cell(cell, seen) for cell in notebook["cells"]]
    if first := next((cell for cell in cells if cell["cell_type"] == "code"), None):
        first["source"] = f"{RUN_FIRST}\n{first['source']}"
    twice = [cell_id for cell_id, count in Counter(cell["id"] for cell in cells).items() if count > 1]
    if twice:
        raise CourseError(f"{source}: the exercise {twice[0]!r} is there twice.")
    return {"cells": cells, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}


def exercise_of(code: str) -> str | None:
    """Return the exercise that a cell is for, by its first line `%%exercise NAME`; None if it is for none."""
    match = re.match(r"%%exercise[ \t]+(\w+)[ \t]*(\n|$)", code)
    return match[1] if match else None


def _plain_cell(cell: Notebook, seen: Counter[str]) -> Notebook:
    text = "".join(cell["source"]).strip("\n")
    exercise = exercise_of(text) if cell["cell_type"] == "code" else None
    tags = cell["metadata"].get("tags", [])
    metadata: Notebook = {"tags": tags} if tags else {}
    if exercise:
        metadata["nbgrader"] = {
            "grade": False, "grade_id": exercise, "locked": False, "schema_version": 3, "solution": True, "task": False,
        }  # fmt: skip
    plain = {
        "cell_type": cell["cell_type"],
        "id": exercise or _cell_id(text, seen),
        "metadata": metadata,
        "source": text,
    }
    return plain | ({"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {})


def _cell_id(text: str, seen: Counter[str]) -> str:
    """Return a hash of the text and of how often it occurred before, so that a cell keeps its id when others change."""
    seen[text] += 1
    return hashlib.sha256(f"{text}\0{seen[text]}".encode()).hexdigest()[:12]


def without_solutions(notebook: Notebook, source: Path) -> Notebook:
    """Return the student's version: without the code between the markers, and without cells tagged "instructor"."""
    cells = [
        cell | {"source": _strip(cell["source"], source)} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
        if INSTRUCTOR not in cell["metadata"].get("tags", [])
    ]
    return notebook | {"cells": cells}


def _strip(code: str, source: Path) -> str:
    """Replace the code between the markers by one line that says where yours goes."""
    lines, inside = [], False
    for line in code.splitlines():
        marker = line.strip()
        if marker not in (BEGIN, END):
            lines += [] if inside else [line]
            continue
        if inside == (marker == BEGIN):
            raise CourseError(
                f"{source}: {marker!r} in the wrong place, in the cell that begins {code.splitlines()[0]!r}."
            )
        inside = marker == BEGIN
        if inside:
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(indent + empty_line(exercise_of(code) or "this cell"))
    if inside:
        raise CourseError(f"{source}: {BEGIN!r} without {END!r}, in the cell that begins {code.splitlines()[0]!r}.")
    return "\n".join(lines)


def as_text(notebook: Notebook) -> str:
    """Return a notebook as Jupyter writes it: sorted keys, an indent of one space, a cell's lines as a list."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
