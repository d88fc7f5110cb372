"""Names that a cell takes from the notebook. In a module of its own they would be missing."""

import builtins
import symtable
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any


def missing_names(code: str) -> list[str]:
    """Return the names that a cell uses but neither defines nor imports; none for a cell that doesn't parse."""
    try:
        top = symtable.symtable(code, "cell", "exec")
    except SyntaxError:
        return []
    tables = list(_tables(top))
    known = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    known |= {symbol.get_name() for table in tables for symbol in table.get_symbols() if symbol.is_declared_global()}
    used = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or table is top)
    }
    return sorted(name for name in used - known if not hasattr(builtins, name) and not name.startswith("__"))


def cures(code: str, notebook: Mapping[str, Any], exercises: Collection[str]) -> list[str]:
    """Return what to write into the cell for each name that only the notebook knows, one line per name."""
    return [f"{name}: {_cure(name, notebook, exercises)}" for name in missing_names(code)]


def _cure(name: str, notebook: Mapping[str, Any], exercises: Collection[str]) -> str:
    value = notebook.get(name)
    if name in exercises:
        return f"write `from my_detector import {name}` into the cell"
    if isinstance(value, ModuleType):
        alias = "" if value.__name__ == name else f" as {name}"
        return f"write `import {value.__name__}{alias}` into the cell"
    source = getattr(value, "__module__", None)
    if value is not None and source and source != "__main__" and getattr(value, "__name__", None) == name:
        return f"write `from {source} import {name}` into the cell"
    if name in notebook:
        return "it is defined in another cell: define it in this one, or make it an argument"
    return "it is not defined anywhere: a typo?"


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
