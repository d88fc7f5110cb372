"""The workbook: `my_detector/`, the package that an intern's answers become."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import Any

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, write_text

PACKAGE, FORMER = "my_detector", "former"
ABOUT = '''"""My detector: what I have written so far, a module for each part.

`from my_detector import box_iou` gives mine where it has passed its check, else the course's. Versions that I have
replaced lie in `former/`.
"""

from coursekit.lessons.workbook.own_parts import serve

serve(__name__)
'''
_loaded: dict[tuple[Path, str], ModuleType] = {}
running: set[str] = set()  # answers that are being run just now


@dataclass(frozen=True)
class Stored:
    """An answer's module, and whether an older answer was kept because the cell is still empty."""

    module: ModuleType
    older_kept: bool


def folder() -> Path:
    """Where the workbook lies: `COURSEKIT_WORKBOOK`, else `my_detector` beside the notebooks."""
    return Path(os.environ.get("COURSEKIT_WORKBOOK", PACKAGE)).absolute()


def file_of(name: str) -> Path:
    """The module of an exercise, whether it is there or not."""
    return folder() / f"{name}.py"


def code_of(name: str) -> str | None:
    """What an intern has written for an exercise; None where that is nothing."""
    path = file_of(name)
    code = path.read_text(encoding="utf-8") if path.is_file() else None
    return None if code is None or is_empty(name, code) else code


def empty_line(name: str) -> str:
    """What stands in a cell of the course where the answer goes."""
    return f'raise NotImplementedError("{name}: your code here")'


def is_empty(name: str, code: str) -> bool:
    """Whether a cell is still as the course gives it."""
    return empty_line(name) in code


def mark_of(code: str) -> str:
    """Short for a version of an answer."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def store(name: str, code: str) -> Stored:
    """Keep an answer as a module of the workbook and run it from there, so that tracebacks show its lines.

    A former version goes to `former/`. An empty cell replaces nothing.

    Raises:
        ConfigError: `name` can't be the name of a module, or the folder can't be written.
        Exception: whatever the code raises; it is kept all the same.
    """
    if not name.isidentifier() or iskeyword(name) or name.startswith("_") or name == FORMER:
        raise ConfigError(f"%%exercise {name}: give the name of the function or class, as in %%exercise xywh_to_xyxy.")
    begin()
    path, before = file_of(name), code_of(name)
    if before is not None and is_empty(name, code):
        return Stored(answer(name), older_kept=True)
    if before is not None and before != code:
        _keep(name, before)
    write_text(path, code)
    return Stored(answer(name), older_kept=False)


def begin() -> None:
    """Make the workbook, where there is none, and let Python find it."""
    if not (folder() / "__init__.py").exists():
        make_folder(folder())
        write_text(folder() / "__init__.py", ABOUT)
    make_importable()


def _keep(name: str, code: str) -> None:
    versions = make_folder(folder() / FORMER)
    number = 1 + max((int(path.stem.split("-")[-1]) for path in versions.glob(f"{name}-*.py")), default=0)
    write_text(versions / f"{name}-{number:03d}.py", code)


def answer(name: str) -> ModuleType:
    """The stored module of an exercise; run anew only where it has changed.

    Raises:
        FileNotFoundError: nothing is stored under that name.
    """
    path = file_of(name)
    key = path, mark_of(path.read_text(encoding="utf-8"))
    if key not in _loaded:
        _loaded[key] = _run(name, path)
    sys.modules[f"{PACKAGE}.{name}"] = _loaded[key]  # dataclasses and pickles look their module up
    return _loaded[key]


def forget() -> None:
    """Run each answer anew when it is asked for next."""
    _loaded.clear()


def _run(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    source = path.read_text(encoding="utf-8")  # not the loader: it takes a file of the same size and second for the old
    running.add(name)
    try:
        exec(compile(source, path, "exec"), vars(module))
    finally:
        running.discard(name)
    return module


class _Finder(MetaPathFinder):
    """Finds `my_detector` where the workbook lies, also when that is not beside the notebooks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        start = folder() / "__init__.py"
        if fullname != PACKAGE or not start.exists():
            return None
        return importlib.util.spec_from_file_location(PACKAGE, start, submodule_search_locations=[str(folder())])


def make_importable() -> None:
    """Let `import my_detector` mean the workbook of now."""
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    package: Any = sys.modules.get(PACKAGE)
    if package is not None and list(package.__path__) != [str(folder())]:
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]
