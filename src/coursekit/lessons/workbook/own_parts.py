"""An intern's own parts at work: in later lessons, and in `coursekit train --detector my_detector`."""

import functools
import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from coursekit.core import distributed
from coursekit.core.config import FASTER_RCNN
from coursekit.core.device import is_out_of_memory
from coursekit.core.errors import ConfigError, CourseError, did_you_mean
from coursekit.data import CocoDataset
from coursekit.detector.batched_or_per_image import called_by_twins
from coursekit.detector.choose_parts import PARTS_OF_KIND
from coursekit.evaluation import Result
from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.states import RIGHT, State
from coursekit.lessons.workbook.trusted_workbooks import NotNamedError, changed_files
from coursekit.lessons.workbook.workbook import FORMER, Workbook, importable, workbook_of
from coursekit.runs.run_config import RunConfig, load_config
from coursekit.runs.save_and_load import load_run, results_of

COURSE = "the course's"
CALLED = ("forward", "losses")  # methods of an intern's class that a detector calls
BATCHED = "for a batch, its twin runs, which gives the same results"


class PartError(CourseError):
    """An intern's function failed on data that its check had not tried."""


@dataclass(frozen=True)
class Part:
    """A part of a detector.

    Attributes:
        name: name of its exercise.
        owner: "yours", "borrowed", or the course's and why.
        note: what runs in its place, if that is not the intern's function itself.
        function: what replaces the course's part; None if nothing does.
    """

    name: str
    owner: str
    note: str
    function: Callable[..., Any] | None


class _Package(ModuleType):
    """`my_detector`, in which a name is the function, even after its module of the same name was imported."""

    workbook: Workbook

    def __getattr__(self, name: str) -> Any:
        if name in EXERCISES:
            return part(self.workbook, name)
        raise AttributeError(f"my_detector has no {name!r}. It has {', '.join(EXERCISES)}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in EXERCISES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def serve(package: str) -> None:
    """Let a package give the intern's functions where they are right, and the course's where they are not."""
    module: Any = sys.modules[package]
    module.workbook = workbook_of(module)
    module.__class__ = _Package


def part(workbook: Workbook, name: str) -> Any:
    """Return what `from my_detector import NAME` gives: the intern's if it has passed its check, else the reference.

    An answer that imports its own name gets the reference, because its own function doesn't exist yet.
    """
    if name in workbook.running or state_of(workbook, name) not in RIGHT:
        return EXERCISES[name].reference
    twin = EXERCISES[name].twin if workbook.uses_twins else None
    return twin or getattr(workbook.answer(name), name)


def parts_of(workbook: Workbook, reference_for: Collection[str] = (), kind: str = FASTER_RCNN) -> list[Part]:
    """Return all parts of a kind of detector, in order, and the owner of each.

    Args:
        workbook: where the intern's parts are.
        reference_for: names of parts to take from the course, whatever the intern has.
        kind: of the detector, see `build_detector`.

    Raises:
        ConfigError: there is no workbook, or no part of a name in `reference_for`.
    """
    if not workbook.exists:
        raise ConfigError(f"{workbook.folder}: no workbook here. It is the folder my_detector beside your notebooks.")
    names = [_exercise_of(name) for name in PARTS_OF_KIND[kind]]
    for name in reference_for:
        if name not in names:
            raise ConfigError(
                f"--reference {name}: no such part{did_you_mean(name, names)}. They are: {', '.join(names)}."
            )
    with importable(workbook), workbook.twins(anew=True):
        return [_part(workbook, name, name in reference_for, kind) for name in names]


def states_of(workbook: Workbook, kind: str = FASTER_RCNN) -> dict[str, State]:
    """Return the state of the exercise of each part of a kind of detector, in order, by its name."""
    return {name: _state(workbook, name) for name in map(_exercise_of, PARTS_OF_KIND[kind])}


def _state(workbook: Workbook, name: str) -> State:
    return state_of(workbook, name) if name in EXERCISES else "not started"


def functions(parts: list[Part]) -> dict[str, Callable[..., Any]]:
    """Return those parts that replace the course's, by name, as `build_detector` takes them."""
    return {part.name: part.function for part in parts if part.function is not None}


def parts_from(
    workbook: Workbook, reference_for: Collection[str] = (), kind: str = FASTER_RCNN
) -> dict[str, Callable[..., Any]]:
    """Return the parts of a workbook that pass their checks, by name, and print the owner of each.

    Arguments and errors as in `parts_of`.
    """
    parts = parts_of(workbook, reference_for, kind)
    if distributed.rank() == 0:
        print(table(parts))
    return functions(parts)


def parts_of_run(
    config: RunConfig, workbook: Workbook | None = None, reference_for: Collection[str] = ()
) -> dict[str, Callable[..., Any]]:
    """Return the parts that a run was trained with, by name.

    Code runs only if it is that of the workbook that the caller names, and only if the run was trained with it. What
    the run's configuration says about a workbook is never followed.

    Args:
        config: config of the run.
        workbook: the workbook that the user has named; None if no workbook was named.
        reference_for: parts to take from the course anyway.

    Raises:
        NotNamedError: the run has parts of a workbook, and none was named.
        ConfigError: there is no workbook, or its parts are not those of the run, or they no longer pass their checks.
    """
    wanted = [name for name in config.parts if name not in reference_for]
    if not wanted:
        return {}
    if workbook is None:
        raise NotNamedError(config)
    if changed := changed_files(workbook, config, wanted):
        raise ConfigError(
            f"{workbook.folder}: {', '.join(changed)} there is not what this run was trained with. Either it has "
            f"changed since: restore the earlier version, from {workbook.folder / FORMER}, or train again. Or this is "
            "another workbook: name the one that the run was trained with."
        )
    passed = functions(parts_of(workbook, kind=config.detector.kind))
    lost = [name for name in wanted if name not in passed]
    if lost:
        raise ConfigError(
            f"this run was trained with the parts {', '.join(lost)} from {workbook.folder}, which no longer pass their "
            "checks. Check them in their lesson, or train again."
        )
    return {name: passed[name] for name in wanted}


def load_trained(folder: Path, workbook: Workbook | None = None) -> tuple[nn.Module, RunConfig]:
    """Load a run's detector with the parts it was trained with; see `load_run` and `parts_of_run`."""
    return load_run(folder, parts_of_run(load_config(folder), workbook))


def results_of_run(
    source: Path, data: str, split: str = "val", workbook: Workbook | None = None
) -> tuple[list[Result], CocoDataset]:
    """Return what `results_of` does, with the parts that the run was trained with; see `parts_of_run`."""
    parts = {} if source.suffix == ".json" else parts_of_run(load_config(source), workbook)
    return results_of(source, data, split, parts)


def table(parts: list[Part]) -> str:
    """Return the owner of each part, one line per part; the last line lists those of the course."""
    listed = [part for part in parts if part.function or part.owner != COURSE]
    lines = [f"  {part.name:18} {part.owner}{f' ({part.note})' if part.note else ''}" for part in listed]
    others = [part.name for part in parts if part not in listed]
    return "\n".join([*lines, *([f"The course's: {', '.join(others)}."] if others else [])])


def _exercise_of(part: str) -> str:
    """Return the name of a part's exercise: for `fpn`, `FPN`."""
    return next((name for name in EXERCISES if name.lower() == part.replace("_", "") or name == part), part)


def _part(workbook: Workbook, name: str, is_refused: bool, kind: str) -> Part:
    state = _state(workbook, name)
    if is_refused:
        return Part(name, f"{COURSE}, as you asked", "", None)
    if state not in RIGHT:
        return Part(name, COURSE if state == "not started" else f"{COURSE}: yours is not right yet", "", None)
    owner = "borrowed" if state == "borrowed" else "yours"
    twin = EXERCISES[name].twin
    if twin is not None:
        return Part(name, owner, "running its compiled twin, which gives the same results", twin)
    note = BATCHED if kind == FASTER_RCNN and name in called_by_twins() else ""
    return Part(name, owner, note, guarded(workbook, name, part(workbook, name)))


def guarded(workbook: Workbook, name: str, function: Any) -> Any:
    """Wrap an intern's function so that it names itself when it fails; of a class, its methods in CALLED."""
    if isinstance(function, type):
        methods = {key: _guard(workbook, name, getattr(function, key)) for key in CALLED if hasattr(function, key)}
        return type(function.__name__, (function,), {**methods, "__module__": function.__module__})
    return _guard(workbook, name, function)


def _guard(workbook: Workbook, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (CourseError, KeyboardInterrupt):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise  # the trainer handles it
            raise PartError(_failure(workbook.file_of(name), error)) from error

    return call


def _failure(file: Path, error: Exception) -> str:
    name = file.stem
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    place = f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return (
        f"your {name} failed on data that its check had not tried: {type(error).__name__}: {error} ({file}{place}). "
        f"Fix it and check it again, or continue with the course's: --reference {name}"
    )
