"""`recall("match_anchors")`: how earlier parts are called, and whose they are."""

import html
import re
from dataclasses import dataclass
from textwrap import fill

from coursekit.lessons.checking.verdict import find, state_of
from coursekit.lessons.description import Description, describe
from coursekit.lessons.workbook.states import RIGHT
from coursekit.lessons.workbook.workbook import Workbook


@dataclass(frozen=True)
class Recalled:
    """Parts that a lesson uses again.

    Attributes:
        parts: their descriptions; a class has two.
        owners: for each description "yours", "borrowed" or "the course's".
    """

    parts: list[Description]
    owners: list[str]

    def __str__(self) -> str:
        return "\n\n".join(_as_text(*pair) for pair in zip(self.parts, self.owners, strict=True))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(_as_rows(*pair) for pair in zip(self.parts, self.owners, strict=True))
        return f"<table>{rows}</table>"


def recall(workbook: Workbook, *names: str) -> Recalled:
    """Show how exercises are called, what they take and return, and whose answer their name stands for.

    Raises:
        ConfigError: there is no such exercise.
    """
    described = [(part, _owner(workbook, name)) for name in names for part in describe(find(name).name)]
    return Recalled([part for part, _ in described], [owner for _, owner in described])


def _owner(workbook: Workbook, name: str) -> str:
    state = state_of(workbook, name)
    return "borrowed" if state == "borrowed" else "yours" if state in RIGHT else "the course's"


def _as_text(part: Description, owner: str) -> str:
    width = max(map(len, part.takes), default=0)
    lines = [f"{name:{width}}  {text}" for name, text in part.takes.items()]
    lines += [f"→ {part.returns}"] if part.returns else []
    lines += [f"raises {name}: {text}" for name, text in part.raises.items()]
    indented = [fill(line, 100, initial_indent="  ", subsequent_indent="    ") for line in lines]
    summary = fill(_summary(part), 100, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([f"{part.signature}   ({owner})", summary, *indented])


def _summary(part: Description) -> str:
    return f"{part.summary} {part.more}".strip()


def _as_rows(part: Description, owner: str) -> str:
    left = 'style="text-align: left; vertical-align: top; font-weight: normal"'
    title = f"<b><code>{html.escape(part.signature)}</code></b> · {owner}<br>{_prose(_summary(part))}"
    pairs = [(f"<code>{name}</code>", text) for name, text in part.takes.items()]
    pairs += [("returns", part.returns)] if part.returns else []
    pairs += [(f"raises <code>{name}</code>", text) for name, text in part.raises.items()]
    rows = [f'<tr><th scope="row" {left}>{name}</th><td {left}>{_prose(text)}</td></tr>' for name, text in pairs]
    return f'<tr><th scope="colgroup" colspan="2" {left}>{title}</th></tr>{"".join(rows)}'


def _prose(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(text))
