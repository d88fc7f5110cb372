"""Cases of an instructor's own, that no notebook shows: `--hidden DIR` with a file `NAME.py` for an exercise.

import torch
from coursekit.lessons.exercise import case

def cases(generator):
    yield case("two boxes that only touch", torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[4.0, 0, 8, 4]]))
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch

from coursekit.core.errors import ConfigError
from coursekit.data.index import nearest
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercise import Case
from coursekit.lessons.exercises import EXERCISES


@dataclass(frozen=True)
class Hidden:
    """The cases of one file, and a mark of what stands in it."""

    cases: list[Case]
    mark: str


def load_hidden(folder: Path | None) -> dict[str, Hidden]:
    """Exercise → its hidden cases. The files are an instructor's, and are run here.

    Raises:
        ConfigError: there is no such folder, a file belongs to no exercise or fails, or the course's own answer can't
            take a case.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(f"--hidden {folder}: no such folder. It holds NAME.py files, each with cases(generator).")
    return {path.stem: _load(path) for path in sorted(folder.glob("*.py"))}


def _load(path: Path) -> Hidden:
    name = path.stem
    if name not in EXERCISES:
        raise ConfigError(f"{path}: there is no exercise {name!r}{nearest(name, EXERCISES)}.")
    spec = importlib.util.spec_from_file_location(f"hidden_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        cases = list(module.cases(torch.Generator().manual_seed(0)))
        wrong = [attempt(EXERCISES[name], EXERCISES[name].reference, one).raised for one in cases]
    except Exception as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}. See docs/grading.md for what it holds.") from error
    for one, raised in zip(cases, wrong, strict=True):
        if raised:
            raise ConfigError(f"{path}, {one.words!r}: the course's own {name} can't take it: {raised}")
    return Hidden(cases, hashlib.sha256(path.read_bytes()).hexdigest())
