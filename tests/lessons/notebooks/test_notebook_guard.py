"""The conftest at the top: what it does to a notebook that fails, or that takes too long."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.notebook
ROOT = Path(__file__).parents[3]
STORE = "from coursekit.lessons import my_workbook; my_workbook.store('f', 'x = 1')"
PASS_SECONDS = (  # nothing sleeps: these notebooks set the clock that the conftest reads
    "from pathlib import Path; clock = Path('clock'); clock.write_text(str(float(clock.read_text()) + {}))"
)
NOTEBOOKS = {
    "fails": ["x = 1", "1 / 0", "print(x)", "print(x)"],
    "in_time": ["x = 1", PASS_SECONDS.format(240), "pass"],
    "too_slow": ["x = 1", PASS_SECONDS.format(241), "pass"],
    "stores": [STORE, "assert my_workbook.answer('f').x == 1", "assert '{folder}' not in str(my_workbook.folder)"],
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run the notebooks under one pytest. Return notebook → the initial of each cell's outcome, and pytest's output."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "clock").write_text("0")
    for name, cells in NOTEBOOKS.items():
        sources = [cell.replace("{folder}", str(folder)) for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, folder / f"{name}.ipynb")
    text = (ROOT / "conftest.py").read_text()
    assert "time.monotonic()" in text
    clock = "float(Path(__file__).with_name('clock').read_text())"
    (folder / "conftest.py").write_text(text.replace("time.monotonic()", clock))
    words = ["-m", "pytest", "--nbval-lax", "--nbval-current-env", "-rs", "-v", "-p", "no:cacheprovider", "."]
    clean = {name: value for name, value in os.environ.items() if name != "COURSEKIT_WORKBOOK"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=300
    )
    initials = dict.fromkeys(NOTEBOOKS, "")
    for name, state in re.findall(r"^(\w+)::ipynb::.*? (PASSED|FAILED|SKIPPED|ERROR)", done.stdout, re.MULTILINE):
        initials[name] += state[0]
    assert not list(folder.rglob("my_detector"))
    return initials, done.stdout


def test_it_stops_at_the_first_failure(outcomes):
    initials, out = outcomes
    assert initials["fails"] == "PFSS", out
    assert "failed before" in out


def test_a_notebook_has_a_time_budget(outcomes):
    initials, out = outcomes
    assert initials["in_time"] == "PPP", out
    assert initials["too_slow"] == "PPE", out
    assert "takes longer than 240 s" in out


def test_the_workbook_is_outside_and_the_same_for_all(outcomes):
    initials, out = outcomes
    assert initials["stores"] == "PPP", out
