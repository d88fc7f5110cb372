"""A lesson in a real JupyterLab, in a real browser: a slider moves, the picture changes, and no error shows."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CODE = """import torch
from coursekit.show import explore_nms
boxes = torch.tensor([[10.0, 10, 60, 60], [15, 10, 65, 60], [80, 20, 110, 50]])
explore_nms(torch.full((3, 80, 120), 200, dtype=torch.uint8), boxes, torch.tensor([0.9, 0.8, 0.4]))"""


@pytest.fixture
def lab(tmp_path):
    pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[test]'")
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: pip install -e '.[course]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": [], "source": CODE}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "one.ipynb").write_text(json.dumps(notebook))
    token, port = secrets.token_hex(8), _free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp_path}"]
    command += ["--LabApp.expose_app_in_browser=True", "--ip=127.0.0.1"]
    private = {f"JUPYTER_{kind}_DIR": str(tmp_path / f".{kind}") for kind in ("CONFIG", "DATA", "RUNTIME")}
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | private, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api?token={token}", process, tmp_path / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/one.ipynb?token={token}"
        finally:
            process.terminate()
            process.wait(20)


def test_a_slider_moves_the_picture(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.goto(lab)
        page.wait_for_function("window.jupyterapp !== undefined")  # on a busy machine the page is there first
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell")
        page.evaluate(
            """async () => {
                const panel = window.jupyterapp.shell.currentWidget;
                await panel.context.ready;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;
                await window.jupyterapp.commands.execute('notebook:run-all-cells');
            }"""
        )
        picture = page.locator(".widget-html-content img, .jupyter-widgets img").first
        picture.wait_for()
        before = picture.get_attribute("alt")
        assert "3 boxes with a score of 0.3 or more: 2 kept, 1 dropped" in before
        handle = page.locator(".noUi-handle").first
        handle.focus()
        for _ in range(4):  # the keyboard is enough
            handle.press("ArrowRight")
        moved = "() => document.querySelector('.jupyter-widgets img').alt.startsWith('2 boxes with a score of 0.5')"
        page.wait_for_function(moved)
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        browser.close()


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(address, process, log: Path, seconds=90):
    for _ in range(seconds * 2):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
