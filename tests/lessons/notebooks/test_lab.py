"""The lessons in a real JupyterLab, in a real browser: no error shows, a slider moves its picture."""

import json

import pytest

from coursekit.lessons.course import LESSONS
from coursekit.lessons.notebooks.copy import copy_lessons
from tests.lessons.notebooks.in_browser import RUN, jupyterlab, needs_jupyterlab, opened, run_all

CODE = """import torch
from coursekit.show import explore_nms
boxes = torch.tensor([[10.0, 10, 60, 60], [15, 10, 65, 60], [80, 20, 110, 50]])
explore_nms(torch.full((3, 80, 120), 200, dtype=torch.uint8), boxes, torch.tensor([0.9, 0.8, 0.4]))"""
OPENED_IN_CI = (0, 4)  # the others with `make test-long`

pytestmark = pytest.mark.notebook


def test_a_slider_moves_the_picture(tmp_path):
    needs_jupyterlab()
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": [], "source": CODE}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "one.ipynb").write_text(json.dumps(notebook))
    with jupyterlab(tmp_path, tmp_path) as (start, end), opened(f"{start}one.ipynb{end}") as page:
        page.evaluate(f"async () => {{ {RUN} }}")
        still = page.locator(".jp-OutputArea img[alt^='3 boxes with a score of 0.3 or more: 2 kept, 1 dropped']")
        still.wait_for()
        handle = page.locator(".noUi-handle").first
        handle.focus()
        for _ in range(4):  # the keyboard is enough
            handle.press("ArrowRight")
        moved = "() => document.querySelector('.jupyter-widgets img')?.alt.startsWith('2 boxes with a score of 0.5')"
        page.wait_for_function(moved)
        assert still.count() == 0  # the picture that moves has taken its place
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


@pytest.mark.parametrize(
    "lesson", [pytest.param(lesson, marks=() if lesson in OPENED_IN_CI else pytest.mark.long) for lesson in LESSONS]
)
def test_a_lesson_runs_in_jupyterlab(lesson, tmp_path, monkeypatch):
    needs_jupyterlab()
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "work" / "my_detector"))
    copy_lessons(tmp_path / "work")
    name = next((tmp_path / "work").glob(f"{lesson:02}_*.ipynb")).name
    with jupyterlab(tmp_path / "work", tmp_path) as (start, end):
        assert run_all(f"{start}{name}{end}") == ([], 0)
