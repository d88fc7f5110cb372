"""`coursekit predict`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder, from `demo` or `train`.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    threshold: Annotated[float, typer.Option(help="The lowest score to draw.")] = 0.5,
    out: Annotated[Path, typer.Option(help="Folder for the drawn pictures.")] = Path("predictions"),
) -> None:
    """Draw a trained detector's detections into pictures. Unreadable files are named, and the rest are drawn."""
    from coursekit.lessons.workbook.own_parts import parts_of_run
    from coursekit.runs.config import load_config
    from coursekit.runs.predict import predict_files

    unreadable, parts = 0, parts_of_run(load_config(run))
    for drawn in predict_files(run, images, out, threshold=threshold, parts=parts):
        if drawn.out is None:
            unreadable += 1
            print(f"coursekit: {drawn.problem}", file=sys.stderr)
        else:
            counts = ", ".join(f"{count} {name}" for name, count in drawn.counts.items()) or "nothing"
            print(f"{drawn.file}: {counts} → {drawn.out}")
    if unreadable:
        print(f"coursekit: {unreadable} of {len(images)} files could not be read.", file=sys.stderr)
        raise typer.Exit(2)
