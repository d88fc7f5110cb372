"""What an intern has written runs on: in later lessons, and in `coursekit train --detector my_detector`."""

import functools
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from coursekit.core import distributed
from coursekit.core.errors import ConfigError, CourseError
from coursekit.data import CocoDataset
from coursekit.data.index import nearest
from coursekit.detector.parts import PARTS
from coursekit.evaluation import Result
from coursekit.lessons.checking import verdict as judge
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import workbook
from coursekit.runs.config import RunConfig, load_config
from coursekit.runs.load import load_run, results_of

COURSE = "the course's"
_twins = False  # whether a name means its fast twin: while the parts of a detector are put together


class PartError(CourseError):
    """An intern's function failed on data that its check had not tried."""


@dataclass(frozen=True)
class Part:
    """A part of a detector: whose it is, and what runs in its place."""

    name: str
    whose: str
    runs: str
    function: Callable[..., Any] | None


class _Package(ModuleType):
    """`my_detector`, in which a name is the function, also after its module of the same name was imported."""

    def __getattr__(self, name: str) -> Any:
        if name in EXERCISES:
            return part(name)
        raise AttributeError(f"my_detector has no {name!r}. It has {', '.join(EXERCISES)}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in EXERCISES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def serve(package: str) -> None:
    """Let a package give the intern's functions where they are right, and the course's where not."""
    sys.modules[package].__class__ = _Package


def part(name: str) -> Any:
    """What `from my_detector import NAME` gives: the intern's where it has passed its check, else the reference.

    An answer that asks for its own name gets the reference: it is not there yet.
    """
    if name in workbook.running or judge.state_of(name) not in ("correct", "borrowed"):
        return EXERCISES[name].reference
    twin = EXERCISES[name].twin if _twins else None
    return twin or getattr(workbook.answer(name), name)


def parts_of(folder: Path, reference_for: Collection[str] = ()) -> list[Part]:
    """All parts of a detector in their order, each with whose it is.

    Args:
        folder: the workbook, `my_detector`.
        reference_for: those that the course's stand for, whatever the intern has.

    Raises:
        ConfigError: there is no workbook, or no part of a name in `reference_for`.
    """
    if not (folder / "__init__.py").is_file():
        raise ConfigError(f"{folder}: no workbook here. It is the folder my_detector beside your notebooks.")
    os.environ["COURSEKIT_WORKBOOK"] = str(folder.absolute())
    workbook.make_importable()
    names = [_exercise_of(name) for name in PARTS]
    for name in reference_for:
        if name not in names:
            raise ConfigError(f"--reference {name}: no such part{nearest(name, names)}. They are: {', '.join(names)}.")
    with _fast():
        return [_part(name, name in reference_for) for name in names]


@contextmanager
def _fast() -> Iterator[None]:
    """Answers that are loaded in the block get the twins of those they import: `propose` that of `nms`."""
    global _twins
    workbook.forget()
    _twins = True
    try:
        yield
    finally:
        _twins = False
        workbook.forget()


def functions(chosen: list[Part]) -> dict[str, Callable[..., Any]]:
    """Return those parts that replace the course's, by name, as `build_detector` takes them."""
    return {part.name: part.function for part in chosen if part.function is not None}


def parts_from(folder: Path, reference_for: Collection[str] = ()) -> dict[str, Callable[..., Any]]:
    """Return the parts of a workbook that pass their checks, by name, and print whose each part is.

    Arguments and errors as in `parts_of`.
    """
    chosen = parts_of(folder, reference_for)
    if distributed.rank() == 0:
        print(table(chosen))
    return functions(chosen)


def parts_of_run(
    config: RunConfig, folder: Path | None = None, reference_for: Collection[str] = ()
) -> dict[str, Callable[..., Any]]:
    """Return the parts that a run was trained with, by name.

    Args:
        config: of the run.
        folder: the workbook to take them from; by default the one that the run names.
        reference_for: parts to take from the course all the same.

    Raises:
        ConfigError: there is no workbook, or one of those parts no longer passes its check.
    """
    wanted = [name for name in config.parts if name not in reference_for]
    if not wanted:
        return {}
    folder = folder or Path(config.workbook or "")
    passed = functions(parts_of(folder))
    lost = [name for name in wanted if name not in passed]
    if lost:
        raise ConfigError(
            f"this run was trained with {', '.join(lost)} of {folder}, which no longer pass their checks. Put the former "
            "versions back (they are in its folder `former`), or train again."
        )
    return {name: passed[name] for name in wanted}


def load_trained(folder: Path) -> tuple[nn.Module, RunConfig]:
    """Load a run's detector with the parts of the workbook that it was trained with; see `load_run`."""
    return load_run(folder, parts_of_run(load_config(folder)))


def results_of_run(found: Path, data: str, split: str = "val") -> tuple[list[Result], CocoDataset]:
    """As `results_of`, with the parts of the workbook that the run was trained with."""
    parts = {} if found.suffix == ".json" else parts_of_run(load_config(found))
    return results_of(found, data, split, parts)


def table(chosen: list[Part]) -> str:
    """What is whose, a line each; parts of the course's in the last line."""
    told = [one for one in chosen if one.function or one.whose != COURSE]
    lines = [f"  {one.name:18} {one.whose}{f' ({one.runs})' if one.runs else ''}" for one in told]
    theirs = [one.name for one in chosen if one not in told]
    return "\n".join([*lines, *([f"The course's: {', '.join(theirs)}."] if theirs else [])])


def _exercise_of(part: str) -> str:
    """`fpn` is the exercise `FPN`."""
    return next((name for name in EXERCISES if name.lower() == part.replace("_", "") or name == part), part)


def _part(name: str, is_refused: bool) -> Part:
    state = judge.state_of(name) if name in EXERCISES else "not started"
    if is_refused:
        return Part(name, f"{COURSE}, as told", "", None)
    if state not in ("correct", "borrowed"):
        return Part(name, COURSE if state == "not started" else f"{COURSE}: yours is not right yet", "", None)
    whose = "yours" if state == "correct" else "borrowed"
    twin = EXERCISES[name].twin
    if twin is not None:
        return Part(name, whose, "its compiled twin: yours was proved equal", twin)
    return Part(name, whose, "", guarded(name, part(name)))


def guarded(name: str, function: Any) -> Any:
    """An intern's function that names itself when it fails. A class guards its `forward`."""
    if isinstance(function, type):
        forward = _guard(name, function.forward)  # type: ignore[attr-defined]
        return type(function.__name__, (function,), {"forward": forward, "__module__": function.__module__})
    return _guard(name, function)


def _guard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (CourseError, KeyboardInterrupt):
            raise
        except Exception as error:
            if "out of memory" in str(error):
                raise  # the trainer's business
            raise PartError(_failure(name, error)) from error

    return call


def _failure(name: str, error: Exception) -> str:
    file = workbook.file_of(name)
    lines = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == str(file)]
    where = f", line {lines[-1].lineno}: {lines[-1].line}" if lines else ""
    return (
        f"your {name} failed on data that its check had not tried: {type(error).__name__}: {error} ({file}{where}). "
        f"Mend it and check it again; or go on with the course's: --reference {name}"
    )
