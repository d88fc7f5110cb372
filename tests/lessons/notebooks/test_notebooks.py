"""What holds for every notebook of the course."""

import json
import re
from pathlib import Path

import pytest

from coursekit.lessons.notebooks.build import BEGIN, END

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))
NOTEBOOKS = sorted((ROOT / "course").glob("*.ipynb"))


def _cells(path, kind):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_solution_leaks(source):
    student = (ROOT / "course" / f"{source.stem}.ipynb").read_text(encoding="utf-8")
    for region in re.findall(f"{BEGIN}\n(.*?){END}", source.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in region.splitlines():
            if len(line.strip()) > 25:
                assert json.dumps(line.strip(), ensure_ascii=False)[1:-1] not in student, line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_headings_are_in_order(path):
    levels = [
        len(mark) for text in _cells(path, "markdown") for mark in re.findall(r"^(#+) ", text, flags=re.MULTILINE)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_an_alt_text_and_every_axis_a_label(path):
    for code in _cells(path, "code"):
        assert code.count("show.figure(") == code.count("alt="), code
        assert "plt.show" not in code
        if "Figure(" in code and re.search(r"\b(axes|left|right)\.(plot|step|barh?|hist)\(", code):
            assert "label" in code, code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_exercise_is_followed_by_its_check(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    for position, text in enumerate(texts):
        if text.startswith("%%exercise"):
            name = text.split()[1]
            assert texts[position + 1] == f'check("{name}")'


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_map_opens_it_and_the_journal_is_at_hand(path):
    codes = _cells(path, "code")
    assert "hint" in set(codes[0].replace(",", " ").split())  # to be called when one is stuck
    assert f"lesson_map({int(path.name[:2])})" in codes[0]
    assert any(code.startswith(f'journal("{path.name[:2]}")') for code in codes)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_is_short_enough_to_read(path):
    for code in _cells(path, "code"):
        assert max(len(line) for line in code.splitlines()) <= 110, code
