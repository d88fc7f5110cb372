"""`coursekit predict`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="A folder that demo or train wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    threshold: Annotated[float, typer.Option(help="The lowest score to draw.")] = 0.5,
    out: Annotated[Path, typer.Option(help="Folder for the drawn pictures.")] = Path("predictions"),
) -> None:
    """Draw what a trained detector finds in pictures. A file that can't be read is named, and the rest goes on."""
    from coursekit.lessons.workbook.own_parts import parts_of_run
    from coursekit.runs.config import load_config
    from coursekit.runs.predict import predict_files

    unread, parts = 0, parts_of_run(load_config(run))
    for one in predict_files(run, images, out, threshold=threshold, parts=parts):
        unread += one.out is None
        found = ", ".join(f"{count} {name}" for name, count in one.found.items()) or "nothing"
        if one.out is None:
            print(f"coursekit: {one.problem}", file=sys.stderr)
        else:
            print(f"{one.file}: {found} → {one.out}")
    if unread:
        print(f"coursekit: {unread} of {len(images)} files could not be read.", file=sys.stderr)
        raise typer.Exit(2)
