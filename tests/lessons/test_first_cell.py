"""`%%exercise` before a lesson's first cell, as after a restart of the kernel."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from coursekit.lessons import first_cell

FOLDER = Path(first_cell.__file__).parent
CONFIG = FOLDER / "ipython_kernel_config.json"


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_before_the_first_cell_the_magic_says_what_to_do(shell):
    first_cell.load_ipython_extension(shell)
    with pytest.raises(UsageError, match="run the notebook's first cell"):
        shell.run_cell_magic("exercise", "nms", "x = 1")


def test_the_lessons_magic_is_left_in_place_and_takes_over(shell):
    def magic(line, cell):
        return "the lesson's"

    first_cell.load_ipython_extension(shell)
    shell.register_magic_function(magic, "cell", "exercise")
    first_cell.load_ipython_extension(shell)
    assert shell.run_cell_magic("exercise", "nms", "x = 1") == "the lesson's"


def test_kernels_are_told_to_load_it():
    (name,) = json.loads(CONFIG.read_text())["InteractiveShellApp"]["extra_extensions"]
    assert importlib.import_module(name) is first_cell
    project = Path(__file__).parents[2]
    wheel = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {CONFIG.relative_to(project).as_posix(): "etc/ipython/ipython_kernel_config.json"}


def test_it_costs_a_kernel_no_time():
    code = f"import sys, {first_cell.__name__}; print({{'torch', 'numpy', 'IPython'}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.slow
def test_a_new_kernel_says_it(tmp_path):
    installed = Path(sys.prefix) / "etc" / "ipython" / CONFIG.name
    if not installed.exists():
        pytest.skip("the project isn't installed here, so kernels don't know of it")
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        messages = []
        client.execute_interactive("%%exercise nms\nx = 1", output_hook=messages.append, timeout=60)
        printed = "".join(message["content"].get("text", "") for message in messages)
        assert first_cell.WORDS in printed
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
