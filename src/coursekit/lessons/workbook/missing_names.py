"""Names that a cell takes from the notebook: in a module of its own they would be missing."""

import builtins
import symtable
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any


def missing_names(code: str) -> list[str]:
    """What a cell uses and neither defines nor imports.

    Raises:
        SyntaxError: the cell is no Python.
    """
    top = symtable.symtable(code, "cell", "exec")
    known = {
        one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported() or one.is_namespace()
    }
    known |= {one.get_name() for table in _tables(top) for one in table.get_symbols() if one.is_declared_global()}
    used = {
        one.get_name()
        for table in _tables(top)
        for one in table.get_symbols()
        if one.is_referenced() and (one.is_global() or table is top)
    }
    return sorted(name for name in used - known if not hasattr(builtins, name) and not name.startswith("__"))


def cures(code: str, notebook: Mapping[str, Any], exercises: Mapping[str, Any]) -> list[str]:
    """What to write into the cell for each name that only the notebook knows, a line each."""
    return [f"{name}: {_cure(name, notebook, exercises)}" for name in missing_names(code)]


def _cure(name: str, notebook: Mapping[str, Any], exercises: Mapping[str, Any]) -> str:
    value = notebook.get(name)
    if name in exercises:
        return f"write `from my_detector import {name}` into the cell"
    if isinstance(value, ModuleType):
        same = value.__name__ == name
        return f"write `import {value.__name__}{'' if same else f' as {name}'}` into the cell"
    source = getattr(value, "__module__", None)
    if value is not None and source and source != "__main__" and getattr(value, "__name__", None) == name:
        return f"write `from {source} import {name}` into the cell"
    if name in notebook:
        return "it is defined in another cell: define it in this one, or make it an argument"
    return "it is defined nowhere: a slip of the pen?"


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for one in table.get_children():
        yield from _tables(one)
