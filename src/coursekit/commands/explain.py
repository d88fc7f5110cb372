"""`coursekit explain nms`: what you may paste into a chat about an answer that fails."""

from pathlib import Path
from typing import Annotated

import typer


def explain(
    exercise: Annotated[str, typer.Argument(help="Name of the exercise, such as `nms`.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder of your notebooks. Default: the current one.")] = None,
) -> None:
    """Print what you may paste into a chat: the exercise's badge, the failing case, and your code."""
    from coursekit.core.errors import ConfigError
    from coursekit.lessons.workbook.explain import explain as explained
    from coursekit.lessons.workbook.workbook import PACKAGE, Workbook, workbook_here

    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Give the folder of your notebooks.")
    print(explained(Workbook(folder / PACKAGE) if folder else workbook_here(), exercise))
