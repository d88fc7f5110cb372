"""Notebooks under pytest: each stops at its first failure, has a time budget, and leaves nothing behind."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NOTEBOOK_SECONDS = 240  # for a whole notebook in the short form; a single cell may take nbval's default


@pytest.fixture(scope="session", autouse=True)
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One workbook for all notebooks of a session, outside the repository."""
    folder = tmp_path_factory.mktemp("workbook") / "my_detector"
    os.environ["COURSEKIT_WORKBOOK"] = str(folder)
    yield folder
    del os.environ["COURSEKIT_WORKBOOK"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _is_cell(item):
        return
    notebook = item.parent
    started = notebook.__dict__.setdefault("_started", time.monotonic())
    if failed := notebook.__dict__.get("_failed"):
        pytest.skip(f"{failed} of this notebook failed before")
    if time.monotonic() - started > NOTEBOOK_SECONDS:
        pytest.fail(f"{item.path.name}: the notebook takes longer than {NOTEBOOK_SECONDS} s")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if _is_cell(item) and call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
        item.parent.__dict__["_failed"] = item.name


def _is_cell(item: pytest.Item) -> bool:
    return type(item.parent).__name__ == "IPyNbFile"
