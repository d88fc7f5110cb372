import pytest
from ipywidgets import Textarea

from coursekit.core.errors import DataError
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.report import answers
from coursekit.report.answers import (
    Question,
    answer,
    as_markdown,
    default_questions,
    form,
    read_questions,
    take_in,
    without_comments,
)

ASKED = [Question("Challenges", "What was hardest?"), Question("Surprises", "What?")]


@pytest.fixture
def workbook(tmp_path):
    return Workbook(tmp_path / "my_detector")


def _report(folder, texts):
    path = folder / "report.md"
    path.write_text("# Report\n\n" + "\n\n".join(as_markdown(question, texts[question.title]) for question in ASKED))
    return path


def test_the_courses_questions_are_those_of_the_assignment():
    titles = [question.title for question in default_questions()]
    assert titles == ["Challenges", "AI assistants", "What I learned", "Surprises", "My own work", "Suggestions"]
    assert all(question.text.endswith("?") or "." in question.text for question in default_questions())


def test_an_instructors_questions(tmp_path):
    (tmp_path / "ours.md").write_text("An introduction.\n\n## Ethics\nWho is not found?\n\n## Cost\nHow many\nhours?\n")
    assert read_questions(tmp_path / "ours.md") == [
        Question("Ethics", "Who is not found?"),
        Question("Cost", "How many\nhours?"),
    ]


@pytest.mark.parametrize(
    ("content", "match"), [("nothing", "there is no question in it"), ("## A\n1\n## A\n2", "called 'A'")]
)
def test_a_template_that_cannot_be_used(tmp_path, content, match):
    (tmp_path / "ours.md").write_text(content)
    with pytest.raises(DataError, match=match):
        read_questions(tmp_path / "ours.md")
    with pytest.raises(DataError, match="can't be read"):
        read_questions(tmp_path / "none.md")


def test_answers_come_from_the_form_and_from_the_report_and_stay(workbook, tmp_path):
    answer(workbook, "Challenges", "the anchors")
    path = _report(tmp_path, take_in(workbook, tmp_path / "report.md", ASKED))
    path.write_text(path.read_text().replace(answers.ROOM, "line one\n\n- and two"))
    for _ in range(2):  # the second time nothing is new
        texts = take_in(workbook, path, ASKED)
        assert texts == {"Challenges": "the anchors", "Surprises": "line one\n\n- and two"}
        _report(tmp_path, texts)


def test_edited_here_and_there_both_stay(workbook, tmp_path):
    answer(workbook, "Challenges", "first")
    path = _report(tmp_path, take_in(workbook, tmp_path / "report.md", ASKED))
    path.write_text(path.read_text().replace("first", "by hand"))
    answer(workbook, "Challenges", "in the form")
    assert take_in(workbook, path, ASKED)["Challenges"] == "in the form\n\nby hand"


def test_an_answer_to_a_question_no_longer_asked_is_kept(workbook, tmp_path):
    answer(workbook, "Old", "still here")
    take_in(workbook, tmp_path / "report.md", ASKED)
    assert answers.load(workbook)["Old"].text == "still here"


def test_what_an_answer_says_ends_no_answer(workbook, tmp_path):
    answer(workbook, "Challenges", "before\n<!-- end -->\nafter")
    path = _report(tmp_path, take_in(workbook, tmp_path / "report.md", ASKED))
    assert "after" in take_in(workbook, path, ASKED)["Challenges"]
    assert "<!--" not in without_comments(path.read_text())


def test_a_damaged_file_is_named_and_left_alone(workbook, tmp_path):
    (tmp_path / "answers.json").write_text("{")
    with pytest.raises(DataError, match=r"answers\.json: damaged"):
        answer(workbook, "Challenges", "anything")
    assert (tmp_path / "answers.json").read_text() == "{"


def test_the_form_keeps_what_is_typed_at_once(workbook):
    answer(workbook, "Surprises", "before")
    first, second = (part for part in form(workbook, ASKED).children if isinstance(part, Textarea))
    assert second.value == "before"
    first.value = "typed"
    assert answers.load(workbook)["Challenges"].text == "typed"
