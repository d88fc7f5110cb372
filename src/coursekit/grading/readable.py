"""Make what a submission says fit to be shown: in a terminal, a table and a page.

Control characters move the cursor and clear the screen; overrides of the writing direction make a text read as another.
"""

import unicodedata

MARK = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"


def readable(text: str, most: int = 160) -> str:
    """Return a text in one line of at most `most` characters, in which everything can be seen."""
    return _cut(" ".join(_visible(text[: 4 * most]).split()), most)


def readable_lines(text: str, most: int = 2000) -> str:
    """Return a text of at most `most` characters in which everything can be seen, with its line breaks."""
    return "\n".join(_visible(line) for line in _cut(text, most).split("\n"))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else _instead(character) for character in text)


def _instead(character: str) -> str:
    is_space = character.isspace() or unicodedata.category(character) == "Zs"
    return " " if is_space else MARK
