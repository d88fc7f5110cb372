import pytest

from coursekit.lessons.course import Lesson
from coursekit.lessons.notebooks import lesson_rules
from coursekit.lessons.notebooks.lesson_rules import code_lines, given_code_problems, kind_of, problems, statements

MINUTES = {"nms": 70, "propose": 10}


def _cell(source, *tags):
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}


def _calls(count):
    return "\n".join(["step()"] * count)


@pytest.mark.parametrize(
    ("source", "tags", "kind"),
    [
        ("%%exercise nms\ndef nms(): ...", (), "exercise"),
        ('check("nms")', (), "engine"),
        ('hint("nms")\ncatch("nms", (1,))', (), "engine"),
        ('recall("nms")', ("read",), "engine"),
        ("print(1)", (), ""),
        ('check("nms")\nprint(1)', (), ""),
        ('check("nms")\nx = 1', (), ""),
        ("print(1)", ("read",), "read"),
        ("print(1)", ("read", "variants"), "variants"),
        ("print(1)", ("raises-exception",), ""),
    ],
)
def test_a_cell_is_of_a_kind(source, tags, kind):
    assert kind_of(_cell(source, *tags)) == kind


def test_joining_lines_does_not_change_the_number_of_statements():
    apart = "x = 1\ny = 2\nif x:\n    y = 3"
    joined = "x = 1; y = 2\nif x: y = 3"
    assert statements(apart) == statements(joined) == 4


def test_docstrings_are_not_counted():
    code = 'def f():\n    """What it does,\n    at length."""\n    return 1'
    assert statements(code) == 2
    assert code_lines(code) == {1, 4}


def test_blank_lines_and_comments_hold_no_code():
    assert code_lines("# why\n\nx = f(\n    1,\n\n    # two\n    2,\n)\n") == {3, 4, 7, 8}


@pytest.mark.parametrize(("tag", "most"), [("setup", 8), ("call", 5), ("read", 15), ("variants", 25), ("write", 6)])
def test_a_cell_may_have_so_many_statements(tag, most):
    assert list(given_code_problems(4, [_cell(_calls(most), tag)])) == []
    (problem,) = given_code_problems(4, [_cell(_calls(most + 1), tag)])
    assert f"has {most + 1} statements" in problem


def test_one_long_call_is_refused_too():
    call = "f(\n" + "    1,\n" * 9 + ")"
    assert "has 11 lines" in next(given_code_problems(4, [_cell(call, "call")]))


@pytest.mark.parametrize(
    ("source", "tag", "words"),
    [
        ("import matplotlib.pyplot as plt", "setup", "draws"),
        ("figure = Figure()", "call", "draws"),
        ("show.figure(1)", "read", "shows a picture"),
        ("show.figure(1)", "variants", "shows a picture"),
        ("print(1)", "", "has no tag"),
    ],
)
def test_a_cell_is_refused(source, tag, words):
    assert words in next(given_code_problems(4, [_cell(source, tag)]))


@pytest.mark.parametrize("source", ["%%time\nstep()", "!ls", "%matplotlib inline\nstep()"])
def test_what_can_not_be_counted_is_refused(source):
    (problem,) = given_code_problems(4, [_cell(source, "call")])
    assert problem.endswith("is not Python alone.")


def test_a_cell_is_named_by_its_first_line_of_code():
    assert next(given_code_problems(4, [_cell("# Run this first.\n\nx = 1")])).startswith(
        "the cell that begins 'x = 1' has no tag"
    )


def test_a_picture_is_a_call():
    assert list(given_code_problems(4, [_cell("show.figure(show.boxes(image))", "call")])) == []


def test_a_lesson_gives_so_many_lines_and_the_last_more():
    cells = [_cell(_calls(15), "read"), _cell("my_guess = 1", "write")] * 9
    assert any("it gives 135 lines" in problem for problem in given_code_problems(4, cells))
    assert not any("it gives" in problem for problem in given_code_problems(10, cells))


def test_what_the_reader_writes_is_not_given():
    assert list(given_code_problems(4, [_cell(_calls(6), "write")] * 30)) == []


@pytest.mark.parametrize("between", ['check("nms")', 'catch("nms", (1,))', "%%exercise nms\n"])
def test_the_third_given_cell_in_a_row_is_refused(between):
    given = _cell("print(1)", "read")
    assert "third in a row" in next(given_code_problems(4, [given, given, given]))
    assert list(given_code_problems(4, [given, given, _cell(between), given])) == []


@pytest.mark.parametrize("passive", ['recall("nms")', 'journal("04")', "lesson_map(4)"])
def test_a_cell_that_only_shows_something_does_not_break_the_row(passive):
    given = _cell("print(1)", "read")
    assert "third in a row" in next(given_code_problems(4, [given, given, _cell(passive), given]))
    assert list(given_code_problems(4, [given, given, _cell(passive)])) == []


@pytest.fixture(autouse=True)
def lessons(monkeypatch):
    lesson = Lesson("A lesson", 100, ("nms", "propose"))
    monkeypatch.setattr(lesson_rules, "LESSONS", {0: lesson, 5: lesson, 10: lesson})


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
