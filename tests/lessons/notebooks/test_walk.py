"""The whole course: all lessons in order in JupyterLab, as an intern does them, then a training with the result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.notebooks.copy import copy_lessons
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.states import RIGHT
from coursekit.lessons.workbook.status import status
from coursekit.lessons.workbook.workbook import Workbook
from tests.lessons.notebooks.in_browser import jupyterlab, needs_jupyterlab, run_all

SOLUTIONS = Path(__file__).parents[3] / "solutions"
LEFT, BROKEN = "level_for_box", "sample_balanced"
ENTRY = {"cell_type": "code", "id": "entry", "metadata": {}, "execution_count": None, "outputs": []}


def _solve(path, solutions):
    """Write the solution into each exercise cell, except that one is left empty and one is broken."""
    notebook, solved = json.loads(path.read_text()), json.loads((solutions / path.name).read_text())
    answers = {cell["id"]: cell["source"] for cell in solved["cells"]}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if not text.startswith("%%exercise") or cell["id"] == LEFT:
            continue
        answer = "".join(answers[cell["id"]])
        cell["source"] = answer.replace("return ", "return None and ") if cell["id"] == BROKEN else answer
    lesson = path.name[:2]
    notebook["cells"].append(ENTRY | {"source": f'journal("{lesson}", mine="all of {lesson}")'})
    path.write_text(json.dumps(notebook))


@pytest.mark.long
def test_the_whole_walk(tmp_path, monkeypatch):
    needs_jupyterlab()
    work = tmp_path / "work"
    workbook = Workbook(work / "my_detector")
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(workbook.folder))
    copy_lessons(work)
    results = {}
    for path in sorted(work.glob("[0-9]*.ipynb")):
        _solve(path, SOLUTIONS)
        with jupyterlab(work, tmp_path) as (start, end):  # a kernel of its own for each
            results[path.name] = run_all(f"{start}{path.name}{end}")
    assert all(result == ([], 0) for result in results.values()), results

    states = {name: state for lesson in status(workbook) for name, state in lesson.states.items()}
    assert {name for name, state in states.items() if state not in RIGHT} == {LEFT, BROKEN}
    assert (state_of(workbook, LEFT), state_of(workbook, BROKEN)) == ("not started", "not yet")
    assert [entry.mine for entry in journals.entries(workbook) if entry.mine] == [
        f"all of {name[:2]}" for name in results
    ]
    code = "import my_detector; print(my_detector.FPN.__module__, my_detector.sample_balanced.__module__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=work, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["my_detector.FPN", "coursekit.detector.anchors"]
    assert not list(SOLUTIONS.glob("my_detector*"))

    command = [sys.executable, "-m", "coursekit", "train", "--data", "mini", "--out", str(tmp_path / "run")]
    command += ["--detector", str(work / "my_detector"), "--epochs", "1", "--evaluate-every", "0"]
    trained = subprocess.run(command, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    assert "FPN                yours" in trained.stdout
