"""`coursekit predict`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from coursekit.commands.named import HELP, workbook_for
from coursekit.core.errors import plain


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder, from `demo` or `train`.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    threshold: Annotated[float, typer.Option(help="The lowest score to draw.")] = 0.5,
    out: Annotated[Path, typer.Option(help="Folder for the drawn pictures.")] = Path("predictions"),
    detector: Annotated[Path | None, typer.Option(help=HELP)] = None,
) -> None:
    """Draw a trained detector's detections into pictures. Unreadable files are named, and the rest are drawn."""
    from coursekit.lessons.workbook.own_parts import parts_of_run
    from coursekit.runs.predict_files import predict_files
    from coursekit.runs.run_config import load_config

    workbook = workbook_for(run, [detector] if detector else [])
    unreadable, parts = 0, parts_of_run(load_config(run), workbook)
    for drawn in predict_files(run, images, out, threshold=threshold, parts=parts):
        if drawn.out is None:
            unreadable += 1
            print(f"coursekit: {drawn.problem}", file=sys.stderr)
        else:
            counts = ", ".join(f"{count} {plain(name)}" for name, count in drawn.counts.items()) or "nothing"
            print(f"{drawn.file}: {counts} → {drawn.out}")
    if unreadable:
        print(f"coursekit: {unreadable} of {len(images)} files could not be read.", file=sys.stderr)
        raise typer.Exit(2)
