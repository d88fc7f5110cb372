"""The journal: what you asked an AI assistant, and what you made of it. A private file beside the progress."""

from datetime import datetime
from typing import Any

import msgspec

from coursekit.core.errors import DataError
from coursekit.core.files import make_folder, new_file
from coursekit.lessons.workbook.workbook import Workbook

FILE = "journal.json"
QUESTIONS = {
    "asked": "What did I ask an AI assistant?",
    "answered": "What did it answer, in short?",
    "kept": "What did I keep, change or throw away, and why?",
    "mine": "What did I write myself?",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: four short texts, any of which may be empty."""

    when: str
    lesson: str = ""
    asked: str = ""
    answered: str = ""
    kept: str = ""
    mine: str = ""


def entries(workbook: Workbook) -> list[Entry]:
    """Return all entries, oldest first.

    Raises:
        DataError: the file is damaged; it is left as it is.
    """
    path = workbook.beside(FILE)
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}). Fix it in an editor, or move it away.") from None


def write(workbook: Workbook, lesson: str = "", **texts: str) -> Entry:
    """Add an entry.

    Args:
        workbook: the journal is beside it.
        lesson: such as "03".
        texts: `asked`, `answered`, `kept`, `mine`.

    Raises:
        DataError: the file is damaged.
    """
    path = workbook.beside(FILE)
    entry = Entry(when=datetime.now().astimezone().isoformat(timespec="minutes"), lesson=lesson, **texts)
    before = entries(workbook)
    make_folder(path.parent)
    with new_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode([*before, entry])) + b"\n")
    return entry


def form(workbook: Workbook, lesson: str = "") -> Any:
    """Return a form for a notebook: four fields and a button."""
    from ipywidgets import HTML, Button, Layout, Textarea, VBox

    wide = Layout(width="95%", height="3.2em")
    fields = {name: Textarea(placeholder=question, layout=wide) for name, question in QUESTIONS.items()}
    status = HTML(_status(workbook))

    def save(_: Any) -> None:
        texts = {name: field.value.strip() for name, field in fields.items()}
        if any(texts.values()):
            write(workbook, lesson, **texts)
            for field in fields.values():
                field.value = ""
        status.value = _status(workbook)

    button = Button(description="Save", icon="pencil", tooltip=f"Add this to {FILE}")
    button.on_click(save)
    labeled = [part for name, field in fields.items() for part in (HTML(f"<b>{QUESTIONS[name]}</b>"), field)]
    return VBox([*labeled, button, status])


def _status(workbook: Workbook) -> str:
    count = len(entries(workbook))
    return (
        f"{count} {'entry' if count == 1 else 'entries'} so far, in {FILE} beside your notebooks. Only you can see it."
    )
