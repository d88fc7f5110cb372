"""The workbook: `my_detector/`, the package that an intern's answers become."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from coursekit.errors import SettingError
from coursekit.files import make_folder, new_file

ABOUT = '"""My detector: every part of it that I have written so far, one module each."""\n'


def folder() -> Path:
    """Where the workbook lies: `COURSEKIT_WORKBOOK`, else `my_detector` beside the notebooks."""
    return Path(os.environ.get("COURSEKIT_WORKBOOK", "my_detector")).absolute()


def store(name: str, code: str) -> ModuleType:
    """Keep an answer as a module of the workbook and run it from there, so that tracebacks show its lines.

    Raises:
        SettingError: `name` can't be the name of a module.
        Exception: whatever the code raises; it is kept all the same.
    """
    if not name.isidentifier():
        raise SettingError(f"%%exercise {name}: give the name of the function or class, as in %%exercise xywh_to_xyxy.")
    make_folder(folder())
    if not (folder() / "__init__.py").exists():
        (folder() / "__init__.py").write_text(ABOUT, encoding="utf-8")
    with new_file(folder() / f"{name}.py") as path:
        path.write_text(code, encoding="utf-8")
    return answer(name)


def answer(name: str) -> ModuleType:
    """The stored module of an exercise, run anew.

    Raises:
        FileNotFoundError: nothing is stored under that name.
    """
    path = folder() / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"my_detector.{name}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module
