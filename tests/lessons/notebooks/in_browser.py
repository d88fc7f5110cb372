"""A real JupyterLab in a real, headless browser, for tests."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RUN = """
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
"""
RUN_AND_REPORT = f"""async () => {{
    {RUN}
    await window.jupyterapp.commands.execute('docmanager:save');
    const cells = Array.from(panel.content.model.cells);
    const outputs = cells.flatMap(cell => cell.type === 'code' ? cell.outputs.toJSON() : []);
    const errors = outputs.filter(output => output.output_type === 'error').map(one => one.ename + ': ' + one.evalue);
    const left = cells.filter(cell => cell.type === 'code' && cell.executionCount === null).length;
    await panel.sessionContext.shutdown();
    return [errors, left];
}}"""


def needs_jupyterlab() -> None:
    """Skip where there is no browser, or nothing to drive it with."""
    pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install -e '.[course]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt install chromium)")


@contextlib.contextmanager
def jupyterlab(folder: Path, private: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab on a folder: its address up to a notebook's name, and what comes behind that."""
    token, port = secrets.token_hex(8), _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True", "--ip=127.0.0.1"]
    environment = os.environ | {
        f"JUPYTER_{kind}_DIR": str(private / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    with (private / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api?token={token}", process, private / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/", f"?reset&token={token}"
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def opened(address: str) -> Iterator[Any]:
    """A page of the browser with a notebook in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.goto(address)
        page.wait_for_function("window.jupyterapp !== undefined")  # on a busy machine the page is there first
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
        yield page
        browser.close()


def run_all(address: str) -> tuple[list[str], int]:
    """Open a notebook, run it, save it, end its kernel. Returns its errors, and how many code cells did not run."""
    with opened(address) as page:
        errors, left = page.evaluate(RUN_AND_REPORT)
    return errors, left


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path, seconds: int = 90) -> None:
    for _ in range(seconds * 2):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
