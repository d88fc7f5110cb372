import csv
import html

import pytest
from markdown_it import MarkdownIt

from coursekit.grading.grade import Graded
from coursekit.grading.html import _write_csv, class_page, feedback_page, text, total, write_pages
from coursekit.grading.marks import Mark, Terms
from coursekit.grading.submission import Submission
from coursekit.lessons.workbook.progress import Record

NASTY = "<script>alert(1)</script> [a](http://x) ![b](c.png) | **d** `e` _f_\n# g"


def _graded(name="anna", **marks):
    mark = Mark("box_iou", "not yet", 3, 14, "one box", marks.pop("got", "[[1.0]]"), "[[0.5]]", marks.pop("likely", ""))
    submission = Submission(name, problems=[NASTY], records={"box_iou": Record(hints=2, seen=True)})
    return Graded(submission, [Mark("xywh_to_xyxy", "correct", 7, 7), mark])


def test_what_interns_wrote_is_text(tmp_path):
    write_pages(tmp_path, [_graded(name="=<b>1", got=NASTY, likely=NASTY)], Terms())
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert len(pages) == 2
    for page in pages:
        assert "<script" not in page
        assert "<img" not in page
        assert 'href="http://x"' not in page
        assert "<b>1" not in page
    assert "'=<b>1" in (tmp_path / "grades.csv").read_text()


def test_text_is_shown_as_it_was_written():
    shown = MarkdownIt("commonmark").renderInline(text("a_b_c *d* 1. [x] <y> `z` \\ #"))
    assert shown == "a_b_c *d* 1. [x] &lt;y&gt; `z` \\ #"


def test_the_class_page_names_what_fails_and_by_which_mistake():
    page = class_page([_graded("anna", likely="swapped"), _graded("bea", likely="swapped"), _graded("cem")], Terms())
    failing = page.split("## Where it fails")[1]
    assert failing.index("box_iou") < failing.index("xywh_to_xyxy")
    assert "swapped (2)" in failing
    assert "box\\_iou" in page.split("## Worth knowing")[1]  # the reference was shown


def test_the_feedback_page_states_the_terms():
    page = feedback_page(_graded(), Terms(borrowed=0.5, hint_penalty=0.1))
    assert "each hint costs 10%" in page
    assert "3 of 14 cases right" in page
    assert "You opened 2 hints; the course's solution was shown for box_iou." in page


def test_pages_of_interns_who_left_are_removed(tmp_path):
    write_pages(tmp_path, [_graded("anna"), _graded("bea")], Terms())
    write_pages(tmp_path, [_graded("bea")], Terms())
    assert [path.name for path in (tmp_path / "feedback").iterdir()] == ["bea.html"]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1", "'=1"), ("anna;=1", "anna;'=1"), ("a; =1", "a;' =1"), ("a;b;-1", "a;b;'-1"), ("＝1", "'＝1"),
        ("a;＋1", "a;'＋1"),
        ("a,@b", "a,'@b"), ("\t=1", "'=1"), ("\r\n+1", "'+1"), ("a\t;\t=1", "a ;' =1"),
        ("'=1", "''=1"), ('a;"=1', "a;'\"=1"),
        ("anna-berg", "anna-berg"), ("a;b", "a;b"), ("O'Neil = x", "O'Neil = x"),
        ("\x1b[2Ja\u202e", "�[2Ja�"), ("\ud800", "�"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula_where_commas_or_semicolons_separate_cells(tmp_path, name, cell):
    graded = _graded("x")
    graded.submission.name = name
    _write_csv(tmp_path / "grades.csv", [graded], Terms())
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["intern"] == cell


def test_what_interns_wrote_moves_no_cursor_and_fills_no_page(tmp_path):
    bad = "\x1b]0;title\x07\u202eevil\u2066\x9b\ud800" + "x" * 100_000
    graded = _graded("anna", got=bad, likely=bad)
    graded.submission.problems = [bad] * 3
    write_pages(tmp_path, [graded], Terms())
    for path in tmp_path.rglob("*.*"):
        page = path.read_text(encoding="utf-8")
        assert not set("\x1b\x07\u202e\u2066\x9b") & set(page)
        assert len(page) < 30_000


@pytest.mark.parametrize("hints", [-5, 10**18])
def test_absurd_numbers_of_hints(hints):
    graded = _graded()
    graded.submission.records["box_iou"] = Record(hints=hints)
    assert 0 <= total(graded, Terms(hint_penalty=0.25)).points <= total(graded, Terms()).points


@pytest.mark.parametrize("got", ["a | b", "a \\| b", "`|`", "\\", "| --- |", "\\` <b>"])
def test_bars_and_backslashes_stay_in_their_cell(tmp_path, got):
    write_pages(tmp_path, [_graded("anna", got=got)], Terms())
    page = (tmp_path / "feedback" / "anna.html").read_text(encoding="utf-8")
    row = next(line for line in page.split("<tr>") if "<td>got</td>" in line)
    assert row.count("<td>") == 2
    assert f"<code>{html.escape(got)}</code>" in row
