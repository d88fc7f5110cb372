"""The command line: `coursekit …`.

Commands are thin: they read options, call the library and print the result. Importing torch takes seconds, so commands
import the library inside their functions, and `--help` answers at once.
"""

import io
import sys
import warnings

import typer

from coursekit.commands import data, evaluate, explain, export, grading, lessons, machine, predict, train
from coursekit.core.disk_errors import FULL, DiskError
from coursekit.core.errors import CourseError, plain

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    train.demo, train.train, predict.predict, evaluate.evaluate, evaluate.compare, evaluate.report,
    export.export,
    machine.doctor, machine.plan, explain.explain, grading.submit, grading.grade,
):  # fmt: skip
    app.command()(command)
app.add_typer(lessons.app, name="lessons")
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line. Errors that the user can fix end with a one-line message and exit code 2."""
    _print_utf8()
    warnings.formatwarning = lambda message, *_, **__: f"{_line(message)}\n"
    try:
        app()
    except CourseError as error:
        print(_line(error), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        is_full = error.errno in FULL
        problem = DiskError(error.filename or "a file", error) if is_full else f"{error}. Check the path and the disk."
        print(_line(problem), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("coursekit: stopped.", file=sys.stderr)
        sys.exit(130)


def _print_utf8() -> None:
    """Print in UTF-8 whatever the system's encoding is: pipes on Windows have one without ✓ or →.

    File names can hold bytes that are not UTF-8; they are printed as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None in a process without a console
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _line(message: object) -> str:
    """Return an error or a warning as it is printed. Its lines stay; other control characters don't."""
    return "coursekit: " + "\n".join(map(plain, str(message).split("\n")))
