"""An instructor's own cases, which no notebook shows: `--hidden DIR`, with a file `NAME.py` for each exercise.

import torch
from coursekit.lessons.exercise import case

def cases(generator):
    yield case("two boxes that only touch", torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[4.0, 0, 8, 4]]))
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from coursekit.core.errors import ConfigError, did_you_mean
from coursekit.lessons.checking.compare_outcomes import Problem
from coursekit.lessons.checking.outcome import attempt
from coursekit.lessons.exercise import Case
from coursekit.lessons.exercises import EXERCISES


@dataclass(frozen=True)
class Hidden:
    """The cases of one file, and a digest of its content."""

    cases: list[Case]
    digest: str


def load_hidden(folder: Path | None) -> dict[str, Hidden]:
    """Load the hidden cases by exercise. The files are the instructor's own, and are run in this process.

    Raises:
        ConfigError: there is no such folder, a file belongs to no exercise or fails, or the course's own answer can't
            take a case.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(f"--hidden {folder}: no such folder. It holds NAME.py files, each with cases(generator).")
    return {path.stem: _load(path) for path in sorted(folder.glob("*.py"))}


def hidden_problem(cases: Sequence[Case], right: Sequence[bool]) -> Problem:
    """Return how the feedback describes the first hidden case that is wrong.

    Nothing is quoted, because an answer could copy its arguments into its errors.

    Args:
        cases: the hidden cases.
        right: whether each is right, for as many cases as the answer got to.
    """
    failed = (number for number, is_right in enumerate(right) if not is_right)
    case = cases[next(failed, min(len(right), len(cases) - 1))]
    return Problem(f"a case that is not in your notebook: {case.words}", "something else", "")


def _load(path: Path) -> Hidden:
    name = path.stem
    if name not in EXERCISES:
        raise ConfigError(f"{path}: there is no exercise {name!r}{did_you_mean(name, EXERCISES)}.")
    spec = importlib.util.spec_from_file_location(f"hidden_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        cases = list(module.cases(torch.Generator().manual_seed(0)))
        errors = [attempt(EXERCISES[name], EXERCISES[name].reference, case).raised for case in cases]
    except Exception as error:
        raise ConfigError(
            f"{path}: {type(error).__name__}: {error}. docs/grading.md says what the file needs."
        ) from error
    for case, error_text in zip(cases, errors, strict=True):
        if error_text:
            raise ConfigError(f"{path}, {case.words!r}: the course's own {name} can't take this case: {error_text}")
    return Hidden(cases, hashlib.sha256(path.read_bytes()).hexdigest())
