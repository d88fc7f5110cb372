"""`coursekit lessons …`: build the notebooks, copy them, run them, and see how far you are."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from coursekit.core.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Build the notebooks, or copy them to where you work.")


@app.command("build")
def lessons_build(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; name what is stale.")] = False,
) -> None:
    """Make the notebooks of `solutions/` and `course/` from `solutions/*.py`."""
    from coursekit.lessons.notebooks.build import build  # jupytext is an extra

    for path in build(check=check):
        print(path)


@app.command("copy")
def lessons_copy(folder: Annotated[Path, typer.Argument(help="Where you work, such as `work`.")]) -> None:
    """Copy the lessons into a folder. What you have worked on stays as it is; a newer version comes beside it."""
    from coursekit.lessons.notebooks.copy import copy_lessons

    done = copy_lessons(folder)
    print(f"{folder}: {len(done.new)} new, {len(done.kept)} already there and left alone.")
    for path in done.replaced:
        print(f"{path}: the newer version; you had not changed the old one.")
    for path in done.beside:
        print(f"{path}: the newer version, beside yours.")


@app.command("run")
def lessons_run(
    version: Annotated[str, typer.Argument(help="`solutions`, strictly, or `course`, as an intern finds it.")],
    out: Annotated[Path, typer.Option(help="Folder for the executed notebooks.")] = Path("runs/lessons"),
    lesson: Annotated[int | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Execute the lessons in order and keep them with their outputs."""
    from coursekit.lessons.notebooks.run import run_lessons

    if version not in ("solutions", "course"):
        raise ConfigError(f"lessons run {version}: `solutions` or `course` is expected.")
    table = Table("lesson", "cells", "seconds", "slowest cell", "state", title=f"{version}, executed")
    executed = []
    for one in run_lessons(version, out, lesson):  # type: ignore[arg-type]
        executed.append(one)
        table.add_row(one.name, str(one.cells), f"{one.seconds:.0f}", f"{one.slowest:.0f}", one.problem or "ok")
    Console().print(table)
    print(f"{sum(one.seconds for one in executed) / 60:.1f} minutes. To look at: {out}")
    raise typer.Exit(1 if any(one.problem for one in executed) else 0)


@app.command("status")
def lessons_status(
    folder: Annotated[Path | None, typer.Argument(help="Where your notebooks are: by default here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What is yours so far, and what is left."""
    import os
    from dataclasses import asdict

    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder. Name the one your notebooks are in.")
        os.environ["COURSEKIT_WORKBOOK"] = str(folder / "my_detector")
    from coursekit.lessons.checking.verdict import SIGNS
    from coursekit.lessons.workbook.status import status

    lessons = status()
    if as_json:
        print(json.dumps([asdict(one) for one in lessons]))
        return
    table = Table("lesson", "exercises", "minutes", "of exercises left", "hints")
    for one in lessons:
        states = "  ".join(f"{SIGNS[state]}\u00a0{name}" for name, state in one.states.items())
        hints = f"{one.hints}{f', seen: {one.seen}' if one.seen else ''}"
        table.add_row(f"{one.number:02} {one.title}", states, str(one.minutes), str(one.left), hints)
    Console().print(table)
    print("✓ correct   ◐ borrowed   ✗ not yet   ○ not started")
