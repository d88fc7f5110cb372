"""Notebooks under pytest: each stops at its first failure, has a time budget, and keeps its workbook elsewhere."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

NOTEBOOK_SECONDS = 240  # for a whole notebook in its short form; the Makefile sets the limit of a cell


def pytest_configure(config: pytest.Config) -> None:
    """Use one workbook for all notebooks of a session, outside the repository. nbval's items can't use fixtures."""
    folder = Path(tempfile.mkdtemp(prefix="workbook-"))
    os.environ["COURSEKIT_WORKBOOK"] = str(folder / "my_detector")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _is_cell(item):
        return
    notebook = item.parent.__dict__
    started = notebook.setdefault("_started", time.monotonic())
    if failed := notebook.get("_failed"):
        pytest.skip(f"{failed} of this notebook failed before")
    if time.monotonic() - started > NOTEBOOK_SECONDS:
        pytest.fail(f"{item.path.name}: the notebook takes longer than {NOTEBOOK_SECONDS} s")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if _is_cell(item) and call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
        item.parent.__dict__["_failed"] = item.name


def _is_cell(item: pytest.Item) -> bool:
    return type(item.parent).__name__ == "IPyNbFile"
