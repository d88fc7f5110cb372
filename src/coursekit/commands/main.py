"""The command line: `coursekit …`.

Commands are thin: they read options, call the library and print the result. Importing torch takes seconds, so commands
import the library inside their functions, and `--help` answers at once.
"""

import sys
import warnings

import typer

from coursekit.commands import data, evaluate, grading, lessons, machine, predict, train
from coursekit.core.errors import CourseError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    train.demo, train.train, predict.predict, evaluate.evaluate, evaluate.compare, evaluate.report,
    machine.doctor, machine.plan, grading.submit, grading.grade,
):  # fmt: skip
    app.command()(command)
app.add_typer(lessons.app, name="lessons")
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line. Errors that the user can fix end with a one-line message and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"coursekit: {message}\n"
    try:
        app()
    except CourseError as error:
        print(f"coursekit: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("coursekit: stopped.", file=sys.stderr)
        sys.exit(130)
