"""Find the answers in a notebook. It is never unpacked as a whole: each cell is, if it is code and not too long."""

import ast
import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from coursekit.lessons.exercises import EXERCISES

CODE_BYTES = 200 << 10  # of an answer
METADATA_BYTES = 64 << 10
BRACES = 500_000  # each cell has one. A list of a hundred million cells would fill the memory
STRINGS = 4_000_000  # in a notebook that is repaired: 20 s
CELL, GRADE_ID, DEFINITION, WORKBOOK = range(4, 0, -1)  # how an answer was recognized; the surest way first


@dataclass(frozen=True)
class Piece:
    """Code that may be the answer to an exercise, and how sure that is."""

    exercise: str
    sureness: int
    code: str


class _Cell(msgspec.Struct):
    cell_type: Raw = Raw(b'""')
    source: Raw = Raw(b'""')
    metadata: Raw = Raw(b"null")


class _Notebook(msgspec.Struct):
    cells: list[_Cell]


def pieces(content: bytes, note: Callable[[str], None]) -> Iterator[Piece]:
    """Yield the answers in a notebook. They are recognized by `%%exercise`, nbgrader's id, or what a cell defines.

    Args:
        content: of the file.
        note: called with what is wrong with a cell.

    Raises:
        ValueError, msgspec.DecodeError, RecursionError: it is no notebook.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.count(b"{") > BRACES:
        raise ValueError(f"more than {BRACES:,} braces")
    for cell in _decoded(content).cells:
        if bytes(cell.cell_type) != b'"code"':
            continue
        if len(bytes(cell.source)) > 6 * CODE_BYTES or len(text := _text(cell.source)) > CODE_BYTES:
            note(f"a cell has more than {CODE_BYTES >> 10} kB, and was not read")
        elif text:
            yield from _of_cell(text, cell.metadata)


def _of_cell(text: str, metadata: Raw) -> Iterator[Piece]:
    magic = re.match(r"%%exercise[ \t]+(\w+)[^\n]*\n?", text)
    code = text[magic.end() :] if magic else text
    for name, sureness in _names(magic[1] if magic else "", metadata, code):
        yield Piece(name, sureness, code)


def _text(source: Raw) -> str:
    written: Any = msgspec.json.decode(source)
    lines = written if isinstance(written, list) else [written]
    return "".join(line for line in lines if isinstance(line, str)).lstrip()


def _names(magic: str, metadata: Raw, code: str) -> list[tuple[str, int]]:
    if magic in EXERCISES:
        return [(magic, CELL)]
    grade_id = _grade_id(metadata)
    if grade_id in EXERCISES:
        return [(grade_id, GRADE_ID)]
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    defined = [statement.name for statement in body if isinstance(statement, ast.FunctionDef | ast.ClassDef)]
    return [(name, DEFINITION) for name in defined if name in EXERCISES]


def _grade_id(metadata: Raw) -> str:
    """Return nbgrader's id of a cell; empty if it has none."""
    if len(bytes(metadata)) > METADATA_BYTES:
        return ""
    noted: Any = msgspec.json.decode(metadata)
    for key in ("nbgrader", "grade_id"):
        noted = noted.get(key) if isinstance(noted, dict) else None
    return noted if isinstance(noted, str) else ""


def _decoded(content: bytes) -> _Notebook:
    try:
        return msgspec.json.decode(content, type=_Notebook)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        is_repairable = any(part in content for part in (b"NaN", b"Infinity", b"\\u"))
        if not is_repairable or content.count(b'"') > 2 * STRINGS:
            raise
        return msgspec.json.decode(_repaired(content), type=_Notebook)


def _repaired(content: bytes) -> bytearray:
    """Replace what Jupyter writes into outputs although JSON doesn't allow it: NaN, and halves of an emoji."""
    repaired = bytearray(content)
    for match in re.finditer(rb'"(?:[^"\\]++|\\.)*+"|(-?(?:NaN|Infinity))', content, re.DOTALL):
        if match[1]:
            repaired[match.start() : match.end()] = b"0".ljust(len(match[1]))
    high, low = rb"u[dD][89abAB][0-9a-fA-F]{2}", rb"u[dD][c-fC-F][0-9a-fA-F]{2}"
    for match in re.finditer(rb"\\(?:%b\\%b|(%b|%b)|.)" % (high, low, high, low), content, re.DOTALL):
        if match[1]:
            repaired[match.start(1) : match.end(1)] = b"ufffd"
    return repaired
