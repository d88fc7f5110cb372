"""The option `--detector` of the commands that load a run: which workbook may run for it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coursekit.core.errors import ConfigError, command

if TYPE_CHECKING:
    from coursekit.lessons.workbook.workbook import Workbook

HELP = "Your my_detector folder, if the run has parts of yours. Its code runs only if you name it."


def workbook_for(run: Path, named: Sequence[Path]) -> "Workbook | None":
    """Return the workbook whose code may run for a run; None if it needs none.

    That is one which the command names with --detector. Without the option it is the one that COURSEKIT_WORKBOOK names,
    or the one in this folder if the user has trained with it; either only as the run was trained with it. A folder from
    somebody else can hold a run and a workbook, so that both are here is not enough.

    Args:
        run: a run's folder, or a results file.
        named: the values of --detector.

    Raises:
        ConfigError: the run has parts of a workbook that isn't named; the message is the command that names it.
        DataError: there is no run, or it is damaged.
    """
    from coursekit.lessons.workbook.trusted_workbooks import NotNamedError, fits, is_remembered
    from coursekit.lessons.workbook.workbook import Workbook, workbook_here, workbook_of_environment
    from coursekit.runs.run_config import load_config

    workbooks = [Workbook(folder) for folder in named]
    if run.suffix == ".json":
        return None
    config = load_config(run)
    if workbooks or not config.parts:
        return next((workbook for workbook in workbooks if fits(workbook, config)), next(iter(workbooks), None))
    chosen, here = workbook_of_environment(), workbook_here()
    if chosen and fits(chosen, config):
        return chosen
    if fits(here, config) and is_remembered(here, config):
        return here
    raise ConfigError(f"{run}: {NotNamedError(config).reason}. If you trust it: {naming(run, config.workbook)}")


def naming(run: Path, workbook: str | None) -> str:
    """Return this command with the workbook named that a run was trained with, as far as the run knows."""
    folder = os.path.normpath(run / (workbook or "")) if workbook else "my_detector"
    return command("coursekit", *sys.argv[1:2], "--detector", folder, *sys.argv[2:])
