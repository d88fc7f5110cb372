import json

import nbformat
import pytest

from coursekit.core.errors import ConfigError
from coursekit.core.files import shipped
from coursekit.lessons.notebooks.run import execute, run_lessons

pytestmark = pytest.mark.slow


def _notebook(folder, *codes):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    nbformat.write(notebook, folder / "00_a.ipynb")
    return folder / "00_a.ipynb"


def test_a_notebook_is_executed_and_kept_with_its_outputs(tmp_path):
    done = execute(_notebook(tmp_path, "print('hello')"), tmp_path / "out.ipynb", tmp_path)
    assert (done.problem, done.cells) == (None, 1)
    assert "hello" in (tmp_path / "out.ipynb").read_text()


def test_the_slowest_cell_is_known(tmp_path):
    path = _notebook(tmp_path, "1", "import time; time.sleep(1.5)", "2")
    done = execute(path, tmp_path / "out.ipynb", tmp_path)
    assert 1.5 <= done.slowest < done.seconds


def test_an_error_stops_it_and_what_was_shown_until_then_is_kept(tmp_path):
    path = _notebook(tmp_path, "print('hello')", "1 / 0", "print('never')")
    done = execute(path, tmp_path / "out.ipynb", tmp_path)
    assert done.problem == "ZeroDivisionError: division by zero"
    outputs = [cell["outputs"] for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]]
    assert [len(output) for output in outputs] == [1, 1, 0]


def test_no_such_lesson(tmp_path):
    with pytest.raises(ConfigError, match="no lesson 77"):
        list(run_lessons("course", tmp_path, 77))


@pytest.mark.notebook
@pytest.mark.parametrize("name", ["01_the_data_loader.ipynb", "07_the_detector.ipynb", "09_evaluation.ipynb"])
def test_lessons_on_photographs(real_coco, tmp_path, monkeypatch, name):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setenv("COURSEKIT_DATA", str(real_coco))
    done = execute(shipped("course") / name, tmp_path / name, tmp_path)
    assert done.problem is None
