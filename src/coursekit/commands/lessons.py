"""`coursekit lessons …`: build, copy and run the notebooks, and show your progress."""

import json
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from coursekit.commands.tables import cell
from coursekit.core.errors import ConfigError

EXERCISES_WIDTH = 36  # characters of a line of exercises

app = typer.Typer(no_args_is_help=True, help="Build the notebooks, copy them to where you work, run them.")


@app.command("build")
def lessons_build(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; name the stale files.")] = False,
) -> None:
    """Build the notebooks in `solutions/` and `course/` from `solutions/*.py`."""
    from coursekit.lessons.notebooks.build import build

    for path in build(check=check):
        print(path)


@app.command("copy")
def lessons_copy(folder: Annotated[Path, typer.Argument(help="Where you work, such as `work`.")]) -> None:
    """Copy the lessons into a folder. Notebooks that you have changed stay; a newer version is put beside them."""
    from coursekit.lessons.notebooks.copy import copy_lessons

    done = copy_lessons(folder)
    print(f"{folder}: {len(done.new)} new, {len(done.kept)} already there and left alone.")
    for path in done.replaced:
        print(f"{path}: updated to the newer version; you had not changed the old one.")
    for path in done.beside:
        print(f"{path}: the newer version, beside yours.")


@app.command("run")
def lessons_run(
    version: Annotated[str, typer.Argument(help="`solutions` (strict), or `course`, as an intern gets it.")],
    out: Annotated[Path, typer.Option(help="Folder for the executed notebooks.")] = Path("runs/lessons"),
    lesson: Annotated[int | None, typer.Option(help="Run only this lesson.")] = None,
) -> None:
    """Execute the lessons in order and keep them with their outputs. Exit code 1 if one fails."""
    from coursekit.lessons.notebooks.run import run_lessons

    if version not in ("solutions", "course"):
        raise ConfigError(f"lessons run {version}: choose `solutions` or `course`.")
    table = Table("lesson", "cells", "seconds", "slowest cell", "state", title=f"{version}, executed")
    executed = []
    for notebook in run_lessons(version, out, lesson):  # type: ignore[arg-type]
        executed.append(notebook)
        seconds, slowest = f"{notebook.seconds:.0f}", f"{notebook.slowest:.0f}"
        table.add_row(notebook.name, str(notebook.cells), seconds, slowest, cell(notebook.problem or "ok"))
    Console().print(table)
    print(f"{sum(notebook.seconds for notebook in executed) / 60:.1f} minutes. The executed notebooks: {out}")
    raise typer.Exit(1 if any(notebook.problem for notebook in executed) else 0)


@app.command("status")
def lessons_status(
    folder: Annotated[Path | None, typer.Argument(help="Folder of your notebooks. Default: the current one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show which exercises you have finished, and what is left."""
    from dataclasses import asdict

    from coursekit.lessons.workbook.states import SIGNS
    from coursekit.lessons.workbook.status import status
    from coursekit.lessons.workbook.workbook import PACKAGE, Workbook, workbook_here

    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Give the folder of your notebooks.")
    lessons = status(Workbook(folder / PACKAGE) if folder else workbook_here())
    if as_json:
        print(json.dumps([asdict(lesson) for lesson in lessons]))
        return
    exercises = Column("exercises", no_wrap=True)
    lesson_names = Column("lesson", min_width=10)  # room for "Evaluation" and "(optional)"
    table = Table(lesson_names, exercises, "minutes", "to do", "hints")
    for lesson in lessons:
        marked = " ".join(f"{SIGNS[state]}\u00a0{name}" for name, state in lesson.states.items())
        states = "\n".join(
            str(cell(line)) for line in wrap(marked, EXERCISES_WIDTH)
        )  # Rich would break at the no-break spaces
        hints = f"{lesson.hints}{f', solution shown: {lesson.seen}' if lesson.seen else ''}"
        table.add_row(cell(lesson.name), states, str(lesson.minutes), str(lesson.left), hints)
    Console().print(table)
    print("   ".join(f"{sign} {state}" for state, sign in SIGNS.items()))
