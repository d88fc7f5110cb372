"""The glossary: each term under the lesson that needs it first, in order, and in that lesson's notebook."""

import json
import re
from pathlib import Path

import pytest

from coursekit.lessons.course import LESSONS

COURSE = Path(__file__).parents[3] / "course"
ROWS = [
    tuple(cell.strip() for cell in row.strip("|").split(" | "))
    for row in (COURSE / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
    if re.search(r"\| \d\d(, \d\d)* \|$", row)
]
FIRST = {
    "score": "00", "epoch": "00", "batch norm": "02", "logit": "05", "binary cross-entropy": "05", "smooth L1": "05",
    "cross-entropy": "07", "softmax": "07", "mixed precision": "08", "effective batch": "08",
}  # fmt: skip


def _terms(row):
    return [term.strip(" `") for term in re.sub(r"\(.*?\)", "", row[0]).split(",")]


def _page(lesson):
    notebook = json.loads(next(COURSE.glob(f"{lesson}_*.ipynb")).read_text(encoding="utf-8"))
    more = (COURSE / "gpu-workshop.md").read_text(encoding="utf-8") if lesson == "08" else ""
    return "".join("".join(cell["source"]) for cell in notebook["cells"]).lower() + more.lower()


def test_every_row_has_a_term_a_meaning_and_a_lesson():
    assert len(ROWS) > 50
    assert all(len(row) == 3 and row[1].endswith(".") for row in ROWS)
    assert {int(row[2][:2]) for row in ROWS} <= set(LESSONS)


def test_terms_are_in_the_order_of_the_lessons_and_of_the_alphabet():
    keys = [(row[2][:2], re.sub(r"^[`−]", "", row[0]).lower()) for row in ROWS]
    assert keys == sorted(keys)
    terms = [term for row in ROWS for term in _terms(row) if "(" not in row[0]]
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("term", FIRST)
def test_a_term_is_under_the_lesson_that_needs_it_first(term):
    assert [row[2][:2] for row in ROWS if term in _terms(row)] == [FIRST[term]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_term_is_in_the_notebook_of_its_lesson(row):
    page = _page(row[2][:2])
    assert any(re.sub(r"[ _-]", "", term.lower()) in re.sub(r"[ _-]", "", page) for term in _terms(row))
