"""The report's questions and their answers, given in the form of lesson 10 or in report.md by hand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import check_inside, make_folder, new_file
from coursekit.lessons.workbook.workbook import Workbook

FILE = "answers.json"
ROOM = "*Your answer.*"
DEFAULT = """
## Challenges
What was hardest, and how did you solve it? What would have got you there sooner?

## AI assistants
What did you ask an assistant, and what did you keep of its answers? Describe one that was wrong, and how you noticed.

## What I learned
Which three things can you explain now that you couldn't explain before? Explain one of them here, in your own words.

## Surprises
What turned out differently from what you expected? Which number, and why?

## My own work
What share of the code that trains did you write yourself, and what share with help? Is that the balance you want?

## Suggestions
What should the next class not have to go through, and what should stay as it is?
"""


@dataclass(frozen=True)
class Question:
    """A question: its title, under which the answer is stored, and its text."""

    title: str
    text: str


class Answer(msgspec.Struct):
    """An answer.

    Attributes:
        text: the answer as it is now.
        written: what was last written to report.md; an edit there is noticed because it differs.
    """

    text: str = ""
    written: str = ""


def default_questions() -> list[Question]:
    """Return the course's six questions."""
    return _parse(DEFAULT)


def read_questions(path: Path | None) -> list[Question]:
    """Read questions from Markdown: `## Title`, and the text below it. Without a file, return the course's.

    Raises:
        DataError: the file can't be read, has no question, or has two with the same title.
    """
    if path is None:
        return default_questions()
    try:
        questions = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path}: can't be read ({reason}). Check the path and its permissions, and save it as UTF-8."
        ) from None
    titles = [question.title for question in questions]
    if not questions:
        raise DataError(f"{path}: there is no question in it. Write `## Title`, and your question below it.")
    if repeated := next((title for title in titles if titles.count(title) > 1), None):
        raise DataError(
            f"{path}: two questions are called {repeated!r}. Give each its own title: answers are stored by title."
        )
    return questions


def _parse(text: str) -> list[Question]:
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)[1:]  # title, text, title, text, …
    return [Question(title.strip(), body.strip()) for title, body in zip(parts[::2], parts[1::2], strict=True)]


def load(workbook: Workbook) -> dict[str, Answer]:
    """Load all answers, by title, from the file beside the workbook.

    Raises:
        DataError: the file is damaged; it is left as it is.
    """
    path = workbook.beside(FILE)
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Answer])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}). Fix it in an editor, or move it away.") from None


def save(workbook: Workbook, answers: dict[str, Answer]) -> None:
    """Save all answers."""
    path = workbook.beside(FILE)
    make_folder(path.parent)
    with new_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(answers)) + b"\n")


def answer(workbook: Workbook, title: str, text: str) -> None:
    """Answer a question. The next report shows it.

    Raises:
        DataError: the file of answers is damaged.
    """
    answers = load(workbook)
    answers[title] = Answer(text.strip(), answers.get(title, Answer()).written)
    save(workbook, answers)


def take_in(workbook: Workbook, report: Path, questions: Sequence[Question]) -> dict[str, str]:
    """Return the answers to all questions, including those written into report.md by hand. No answer is lost.

    Args:
        workbook: the answers are stored beside it.
        report: the path of report.md.
        questions: those that the report asks.

    Raises:
        DataError: the file of answers is damaged, or report.md can't be read.
    """
    answers = load(workbook)
    in_report = _answers_in(_text(report))
    for title, text in in_report.items():
        stored = answers.setdefault(title, Answer())
        if text != stored.written:  # it was edited there; if the form was filled in meanwhile, both stay
            stored.text = text if stored.text in (stored.written, text) else f"{stored.text}\n\n{text}"
    for question in questions:
        stored = answers.setdefault(question.title, Answer())
        stored.written = stored.text
    save(workbook, answers)
    return {question.title: answers[question.title].text for question in questions}


def _text(report: Path) -> str:
    if not report.exists():
        return ""
    try:
        return check_inside(report, report.parent).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{report}: can't be read ({reason}). Save it as UTF-8, or move it away.") from None


def as_markdown(question: Question, text: str) -> str:
    """Return a question, and its answer between the comments by which it is found again."""
    safe = text.replace("<!--", "<! --")
    return f"### {question.title}\n\n{question.text}\n\n{_begin(question.title)}\n{safe or ROOM}\n<!-- end -->"


def without_comments(text: str) -> str:
    """Return the report without the comments around answers, for the HTML page, which nobody edits."""
    return re.sub(r"^<!-- (answer: .*|end) -->$\n?", "", text, flags=re.MULTILINE)


def _begin(title: str) -> str:
    return f"<!-- answer: {title.replace('--', '-')} -->"


def _answers_in(text: str) -> dict[str, str]:
    pairs = re.findall(r"^<!-- answer: (.*?) -->\n(.*?)\n?<!-- end -->$", text, flags=re.MULTILINE | re.DOTALL)
    return {title: answered.strip() for title, answered in pairs if answered.strip() not in ("", ROOM)}


def form(workbook: Workbook, questions: Sequence[Question] | None = None) -> Any:
    """Return the questions as a form for a notebook. What you type is saved at once.

    Raises:
        ConfigError: no questions.
        DataError: the file of answers is damaged.
    """
    from ipywidgets import HTML, Layout, Textarea, VBox

    questions = default_questions() if questions is None else questions
    if not questions:
        raise ConfigError("questions: the list is empty. Leave it out to get the course's questions.")
    stored, parts = load(workbook), []
    for question in questions:
        area = Textarea(
            stored.get(question.title, Answer()).text,
            placeholder=question.text,
            layout=Layout(width="95%", height="6em"),
        )
        area.observe(lambda change, title=question.title: answer(workbook, title, change["new"]), names="value")
        parts += [HTML(f"<b>{question.title}</b><br>{question.text}"), area]
    return VBox(parts)
