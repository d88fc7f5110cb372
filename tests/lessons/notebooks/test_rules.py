import pytest

from coursekit.lessons.course import Lesson
from coursekit.lessons.notebooks import rules
from coursekit.lessons.notebooks.rules import problems

MINUTES = {"nms": 70, "propose": 10}


@pytest.fixture(autouse=True)
def lessons(monkeypatch):
    lesson = Lesson("A lesson", 100, ("nms", "propose"))
    monkeypatch.setattr(rules, "LESSONS", {0: lesson, 5: lesson, 10: lesson})


def _markdown(text):
    return {"cell_type": "markdown", "id": "text", "metadata": {}, "source": text}


def _exercise(name):
    return {"cell_type": "code", "id": name, "metadata": {"nbgrader": {}}, "source": f"%%exercise {name}\n"}


def _lesson(heading, name="nms"):
    return [_markdown(f"# A lesson\n\n{heading}\n\nText."), _exercise(name)]


def test_a_lesson_that_keeps_the_rules_is_fine():
    heading = "### Exercise 5.3 · `nms` · ●●○ · 70 min · by hand"
    assert list(problems(5, _lesson(heading), MINUTES)) == []


@pytest.mark.parametrize(
    "heading",
    [
        "### Exercise 5.3 · `nms` · ●●○ · 70 min",
        "### Exercise 5.3 · `nms` · ●●○ · 70 min · delegate",
        "### Exercise 5.3 · `nms` · ●●○ · 60 min · by hand",
        "### Exercise 5.4 · `propose` · ●●○ · 70 min · by hand",
        "### Write it",
    ],
)
def test_a_heading_must_have_the_minutes_and_the_badge_of_its_exercise(heading):
    (problem,) = problems(5, _lesson(heading), MINUTES)
    assert "nms needs a heading that ends in “· 70 min · by hand”" in problem


def test_an_exercise_without_a_badge_of_its_own_is_explain_only():
    heading = "### Exercise 0.4 · `propose` · ●●○ · 10 min · explain only"
    assert list(problems(0, _lesson(heading, "propose"), MINUTES)) == []


def test_exercises_take_most_of_the_minutes_except_where_one_mostly_reads():
    lesson = _lesson("### Exercise 5.4 · `propose` · ●●○ · 10 min · explain only", "propose")
    (problem,) = problems(5, lesson, MINUTES)
    assert problem == "exercises take 10 of its 100 minutes; at least 60% are needed."
    assert list(problems(10, lesson, MINUTES)) == []


def test_given_code_counts():
    cells = [{"cell_type": "code", "id": "one", "metadata": {}, "source": "x = 1"}]
    assert list(problems(0, cells, MINUTES)) == [
        "the cell that begins 'x = 1' has no tag. Tag it with one of: setup, call, read, variants, write."
    ]
