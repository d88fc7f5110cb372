"""The questions of the report, and what was answered: in the form of lesson 10, or in report.md by hand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import make_folder, new_file
from coursekit.lessons.workbook import workbook

FILE = "answers.json"
ROOM = "*Your answer.*"
DEFAULT = """
## Challenges
What was hardest, and how did you get over it? What would have got you there sooner?

## AI assistants
What did you ask an assistant, and what of it did you keep? Tell of one answer that was wrong, and how you noticed.

## What I learned
Which three things can you explain now that you could not before? Explain one of them here, in your own words.

## Surprises
What came out otherwise than you had expected? Which number, and why?

## My own hand
What share of the code that trains is your own writing, and what share came with help? Is that the balance you want?

## Suggestions
What should the next class be spared, and what should stay as it is?
"""


@dataclass(frozen=True)
class Question:
    """A title, which answers are kept under, and what is asked."""

    title: str
    text: str


class Answer(msgspec.Struct):
    """What stands under a question now, and what was written to report.md last: so an edit there is seen."""

    text: str = ""
    written: str = ""


def default_questions() -> list[Question]:
    """The course's six."""
    return _parse(DEFAULT)


def read_questions(path: Path | None) -> list[Question]:
    """An instructor's template: Markdown, `## Title` and under it what is asked. Without one, the course's questions.

    Raises:
        DataError: the file can't be read, has no question, or one title twice.
    """
    if path is None:
        return default_questions()
    try:
        questions = _parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read ({reason}).") from None
    titles = [one.title for one in questions]
    if not questions:
        raise DataError(f"{path}: no question in it. Write `## Title`, and under it what you ask.")
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        raise DataError(f"{path}: two questions are called {twice!r}. Answers are kept by title: give each its own.")
    return questions


def _parse(text: str) -> list[Question]:
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)[1:]  # title, text, title, text, …
    return [Question(title.strip(), body.strip()) for title, body in zip(parts[::2], parts[1::2], strict=True)]


def path() -> Path:
    """Beside the workbook, as the journal is."""
    return workbook.folder().parent / FILE


def load() -> dict[str, Answer]:
    """Title → answer.

    Raises:
        DataError: the file is damaged; it is left as it is.
    """
    if not path().exists():
        return {}
    try:
        return msgspec.json.decode(path().read_bytes(), type=dict[str, Answer])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path()}: damaged ({error}). Mend it in an editor, or move it away.") from None


def save(answers: dict[str, Answer]) -> None:
    """Keep them."""
    make_folder(path().parent)
    with new_file(path()) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(answers)) + b"\n")


def answer(title: str, text: str) -> None:
    """Answer a question. The report shows it when it is made next.

    Raises:
        DataError: the file of answers is damaged.
    """
    answers = load()
    answers[title] = Answer(text.strip(), answers.get(title, Answer()).written)
    save(answers)


def take_in(report: Path, questions: Sequence[Question]) -> dict[str, str]:
    """The answers to all questions, those included that were written into report.md by hand. Nothing gets lost.

    Raises:
        DataError: the file of answers is damaged.
    """
    answers = load()
    by_hand = _answers_in(report.read_text(encoding="utf-8")) if report.exists() else {}
    for title, text in by_hand.items():
        kept = answers.setdefault(title, Answer())
        if text != kept.written:  # edited there; and where the form was filled in meanwhile, both stay
            kept.text = text if kept.text in (kept.written, text) else f"{kept.text}\n\n{text}"
    for question in questions:
        kept = answers.setdefault(question.title, Answer())
        kept.written = kept.text
    save(answers)
    return {question.title: answers[question.title].text for question in questions}


def as_markdown(question: Question, text: str) -> str:
    """A question, and its answer between marks by which it is found again."""
    safe = text.replace("<!--", "<! --")
    return f"### {question.title}\n\n{question.text}\n\n{_begin(question.title)}\n{safe or ROOM}\n<!-- end -->"


def without_marks(text: str) -> str:
    """For the HTML page, where nobody edits."""
    return re.sub(r"^<!-- (answer: .*|end) -->$\n?", "", text, flags=re.MULTILINE)


def _begin(title: str) -> str:
    return f"<!-- answer: {title.replace('--', '-')} -->"


def _answers_in(text: str) -> dict[str, str]:
    found = re.findall(r"^<!-- answer: (.*?) -->\n(.*?)\n?<!-- end -->$", text, flags=re.MULTILINE | re.DOTALL)
    return {title: answered.strip() for title, answered in found if answered.strip() not in ("", ROOM)}


def form(questions: Sequence[Question] | None = None) -> Any:
    """The questions as a form for a notebook; what is typed is kept at once.

    Raises:
        ConfigError: no questions.
        DataError: the file of answers is damaged.
    """
    from ipywidgets import HTML, Layout, Textarea, VBox

    questions = default_questions() if questions is None else questions
    if not questions:
        raise ConfigError("questions: none. Leave them out for the course's own.")
    kept, parts = load(), []
    for question in questions:
        area = Textarea(
            kept.get(question.title, Answer()).text, placeholder=question.text, layout=Layout(width="95%", height="6em")
        )
        area.observe(lambda change, title=question.title: answer(title, change["new"]), names="value")
        parts += [HTML(f"<b>{question.title}</b><br>{question.text}"), area]
    return VBox(parts)
