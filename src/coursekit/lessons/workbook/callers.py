"""Answers that call other answers: after a check they call the new version, and in a training its compiled twin."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest.mock import patch

from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.own_parts import part
from coursekit.lessons.workbook.states import RIGHT
from coursekit.lessons.workbook.workbook import PACKAGE, Workbook


def refresh(workbook: Workbook, name: str) -> None:
    """Let the answers that have imported another one call what it is now: the intern's if it is correct."""
    current = part(workbook, name)
    for module, imported, key in _imports_of_others(workbook):
        if imported == name:
            setattr(module, key, current)


@contextmanager
def twins_at_work(workbook: Workbook) -> Iterator[list[str]]:
    """Let answers call the compiled twins of the intern's correct parts in this block, as in `coursekit train`.

    Yields:
        The names of these parts.
    """
    imports = list(_imports_of_others(workbook))
    twins = {name: EXERCISES[name].twin for name in dict.fromkeys(imported for _, imported, _ in imports)}
    ready = {name: twin for name, twin in twins.items() if twin and state_of(workbook, name) in RIGHT}
    with ExitStack() as stack:
        for module, imported, key in imports:
            if imported in ready:
                stack.enter_context(patch.object(module, key, ready[imported]))
        stack.enter_context(workbook.twins(anew=False))
        yield list(ready)


def _imports_of_others(workbook: Workbook) -> Iterator[tuple[ModuleType, str, str]]:
    """Yield what `Workbook.imports` does, but what an answer imports of its own name or has defined itself."""
    for module, imported, key in workbook.imports():
        is_own = module.__name__ == f"{PACKAGE}.{imported}" or _module_of(module, key) == module.__name__
        if imported in EXERCISES and not is_own:
            yield module, imported, key


def _module_of(module: ModuleType, key: str) -> str:
    return str(getattr(vars(module).get(key), "__module__", ""))
