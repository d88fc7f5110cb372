"""`coursekit submit` and `coursekit grade`."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer


def submit(
    name: Annotated[str, typer.Option(help="Your name; the file is named after it.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder of your notebooks and my_detector. Default: the current one.")
    ] = Path(),
    out: Annotated[Path, typer.Option(help="Folder for the file.")] = Path(),
    journal: Annotated[
        bool, typer.Option("--journal", help="Include your journal; otherwise it stays with you.")
    ] = False,
) -> None:
    """Pack your work into one file to hand in, and print what it contains and what is missing."""
    from coursekit.grading.pack import file_name, pack

    packed = pack(folder, out / file_name(name), journal=journal)
    print(f"{packed.file}: {', '.join(packed.contents)}.")
    for missing in packed.missing:
        print(f"not included: {missing}.")


def grade(
    folder: Annotated[Path, typer.Argument(help="Folder with a zip, folder or notebook per intern; or one of these.")],
    out: Annotated[Path, typer.Option(help="Folder for the grades and pages.")] = Path("grades"),
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=32, help="Submissions at a time. Default: one for each core and GB of free memory."),
    ] = None,
    hidden: Annotated[Path | None, typer.Option(help="Folder of your own cases, NAME.py each.")] = None,
    lesson: Annotated[list[int] | None, typer.Option(help="Grade only this lesson. Can be repeated.")] = None,
    borrowed: Annotated[float, typer.Option(min=0, max=1, help="Share of the points for a borrowed answer.")] = 1.0,
    hint_penalty: Annotated[
        float, typer.Option(min=0, max=0.25, help="Share of the points lost per hint, and for the solution if shown.")
    ] = 0.0,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Run without a sandbox: answers can do whatever you can.")
    ] = False,
) -> None:
    """Grade a class: a table, a page for the class, and a page of feedback for each intern."""
    from coursekit.grading.class_folder import not_graded
    from coursekit.grading.grade import grade as grade_class
    from coursekit.grading.html import write_pages
    from coursekit.grading.marks import Terms
    from coursekit.report.sections import counted

    if unsafe:
        print("coursekit: --unsafe: answers run as you, with access to your files and network.", file=sys.stderr)
    warnings.simplefilter("ignore", SyntaxWarning)  # about the interns' code, which is parsed here
    if others := not_graded(folder):
        print(f"coursekit: {others}", file=sys.stderr)
    graded = grade_class(folder, out, jobs=jobs, hidden=hidden, lessons=lesson or (), is_sealed=not unsafe)
    write_pages(out, graded, Terms(borrowed, hint_penalty))
    tried = sum(submission.tried for submission in graded)
    counts = f"{counted(len(graded), 'submission')}, {counted(tried, 'answer')} tried"
    print(f"{counts}; unchanged answers were not run again.")
    print(f"{out / 'class.html'}, {out / 'grades.csv'}, and a page for each intern in {out / 'feedback'}")
