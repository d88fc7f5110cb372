"""The conftest at the top: what it does to a notebook that fails, or that takes too long."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[3]


def _run(folder: Path, *cells: str, budget: int = 60) -> str:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "a.ipynb")
    limited = (ROOT / "conftest.py").read_text().replace("NOTEBOOK_SECONDS = 240", f"NOTEBOOK_SECONDS = {budget}")
    (folder / "conftest.py").write_text(limited)
    words = ["-m", "pytest", "--nbval-lax", "--nbval-current-env", "-rs", "-p", "no:cacheprovider", "a.ipynb"]
    clean = {name: value for name, value in os.environ.items() if name != "COURSEKIT_WORKBOOK"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=clean, capture_output=True, text=True, check=False
    ).stdout


def test_it_stops_at_the_first_failure(tmp_path):
    out = _run(tmp_path, "x = 1", "1 / 0", "print(x)", "print(x)")
    assert "1 failed, 1 passed, 2 skipped" in out
    assert "failed before" in out


@pytest.mark.parametrize(("budget", "outcome"), [(60, "3 passed"), (8, "2 passed, 1 error")])
def test_a_notebook_has_a_time_budget(tmp_path, budget, outcome):
    # On a busy machine the kernel alone takes seconds to start: the budget leaves it some.
    out = _run(tmp_path, "import time", "time.sleep(9)", "pass", budget=budget)
    assert outcome in out, out


def test_the_workbook_lies_outside_and_is_one_for_all(tmp_path):
    store = "from coursekit.lessons import workbook; workbook.store('f', 'x = 1')"
    out = _run(
        tmp_path, store, "assert workbook.answer('f').x == 1", f"assert '{tmp_path}' not in str(workbook.folder())"
    )
    assert "3 passed" in out
    assert not list(tmp_path.rglob("my_detector"))
