"""The journal: what one asked an assistant, what came of it. Private, a file beside the progress."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from coursekit.core.errors import DataError
from coursekit.core.files import make_folder, new_file
from coursekit.lessons.workbook import workbook

FILE = "journal.json"
QUESTIONS = {
    "asked": "What did I ask an AI assistant?",
    "answered": "What did it answer, in short?",
    "kept": "What did I keep, change or throw away, and why?",
    "mine": "What did I write by myself?",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: four short texts, any of which may be empty."""

    when: str
    lesson: str = ""
    asked: str = ""
    answered: str = ""
    kept: str = ""
    mine: str = ""


def path() -> Path:
    """Beside the workbook."""
    return workbook.folder().parent / FILE


def entries() -> list[Entry]:
    """All entries, the oldest first.

    Raises:
        DataError: the file is damaged; it is left as it is.
    """
    if not path().exists():
        return []
    try:
        return msgspec.json.decode(path().read_bytes(), type=list[Entry])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path()}: damaged ({error}). Mend it in an editor, or move it away.") from None


def write(lesson: str = "", **texts: str) -> Entry:
    """Add an entry.

    Args:
        lesson: such as "03".
        texts: `asked`, `answered`, `kept`, `mine`.

    Raises:
        DataError: the file is damaged.
    """
    entry = Entry(when=datetime.now().astimezone().isoformat(timespec="minutes"), lesson=lesson, **texts)
    before = entries()
    make_folder(path().parent)
    with new_file(path()) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode([*before, entry])) + b"\n")
    return entry


def form(lesson: str = "") -> Any:
    """The journal as a form for a notebook: four fields and a button."""
    from ipywidgets import HTML, Button, Layout, Textarea, VBox

    wide = Layout(width="95%", height="3.2em")
    fields = {name: Textarea(placeholder=question, layout=wide) for name, question in QUESTIONS.items()}
    said = HTML(_said(len(entries())))

    def save(_: Any) -> None:
        texts = {name: field.value.strip() for name, field in fields.items()}
        if any(texts.values()):
            write(lesson, **texts)
            for field in fields.values():
                field.value = ""
        said.value = _said(len(entries()))

    button = Button(description="Keep it", icon="pencil", tooltip="Add this to journal.json")
    button.on_click(save)
    labelled = [part for name, field in fields.items() for part in (HTML(f"<b>{QUESTIONS[name]}</b>"), field)]
    return VBox([*labelled, button, said])


def _said(count: int) -> str:
    entries_ = "entry" if count == 1 else "entries"
    return f"{count} {entries_} so far, in {path().name} beside your notebooks. It stays with you."
