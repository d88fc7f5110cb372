"""What an exercise asks for, read from its cell in the course's notebooks: signature, arguments, what it returns."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from coursekit.core.errors import ConfigError, did_you_mean
from coursekit.core.files import shipped


@dataclass(frozen=True)
class Description:
    """What the docstring of an exercise says about a function.

    Attributes:
        signature: how it is called, as in `nms(boxes, scores, iou_threshold)`.
        summary: what it does, in a sentence.
        more: the other paragraphs; empty if there are none.
        takes: the shape and meaning of each argument, by its name.
        returns: what it returns; empty if there is no such section.
        raises: when it raises each error, by the error's name.
    """

    signature: str
    summary: str
    more: str
    takes: dict[str, str]
    returns: str
    raises: dict[str, str]


def describe(name: str) -> list[Description]:
    """Describe what an exercise asks for: a function, or a class and its `forward`.

    Raises:
        ConfigError: no notebook has a cell for it.
    """
    cells = _cells()
    if name not in cells:
        raise ConfigError(f"There is no exercise {name!r} in the notebooks{did_you_mean(name, cells)}.")
    body = ast.parse(cells[name].partition("\n")[2]).body  # without %%exercise
    wanted = (node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name)
    return list(_descriptions(next(wanted)))


@cache
def _cells() -> dict[str, str]:
    """Return the cells in which readers write, by the name of their exercise."""
    cells = {}
    for path in sorted(shipped("course").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "nbgrader" in cell["metadata"]:
                cells[cell["id"]] = "".join(cell["source"])
    return cells


def _descriptions(node: ast.FunctionDef | ast.ClassDef) -> Iterator[Description]:
    if isinstance(node, ast.FunctionDef):
        yield _description(node.name, node, ast.get_docstring(node))
        return
    methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
    yield _description(node.name, methods["__init__"], ast.get_docstring(node))
    if forward := methods.get("forward"):
        yield _description(f"{node.name}(…)", forward, ast.get_docstring(forward))


def _description(called: str, function: ast.FunctionDef, docstring: str | None) -> Description:
    sections = _sections(docstring or "")
    prose = re.split(r"^>>>", sections[""], maxsplit=1, flags=re.MULTILINE)[0]
    summary, *more = map(_line, prose.split("\n\n"))
    takes, raises = _entries(sections["Args"]), _entries(sections["Raises"])
    signature = f"{called}({_arguments(function)})"
    return Description(signature, summary, " ".join(filter(None, more)), takes, _line(sections["Returns"]), raises)


def _arguments(function: ast.FunctionDef) -> str:
    """Return names and defaults of the arguments, without `self` and annotations."""
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return re.sub(r"^self(, )?", "", ast.unparse(function.args))


def _sections(docstring: str) -> dict[str, str]:
    """Return the lines of each section, such as "Args"; those outside of a section as ""."""
    sections: dict[str, str] = defaultdict(str)
    section = ""
    for line in docstring.splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Example):", line):
            section = line[:-1]
            continue
        if line and not line.startswith(" "):
            section = ""
        sections[section] += f"{line}\n"
    return sections


def _entries(section: str) -> dict[str, str]:
    """Return the text of each entry of a section, by its name or names."""
    _, *parts = re.split(r"^    ([\w.][\w., ]*): ", section, flags=re.MULTILINE)  # text, name, text, name, …
    return dict(zip(parts[::2], map(_line, parts[1::2]), strict=True))


def _line(text: str) -> str:
    return " ".join(text.split())
