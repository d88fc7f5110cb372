"""Errors for people: each message says what is wrong, where, and what to do."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable


class CourseError(Exception):
    """Something the user can fix. The command line prints the message and exits with code 2."""


class DataError(CourseError):
    """A file or a record of a data set or a run is missing, damaged or inconsistent."""


class ConfigError(CourseError):
    """An option has a value that can't be used."""


def plain(text: str) -> str:
    """Return a text without control characters: names in a file from somebody else could command the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", text)


def command(*words: object) -> str:
    """Return a command that the user can copy: paths with spaces are quoted, on Windows as its shells expect it."""
    texts = [plain(str(word)) for word in words]
    return subprocess.list2cmdline(texts) if sys.platform == "win32" else shlex.join(texts)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known name most similar to a wrong one; an empty text if none is similar."""
    from difflib import get_close_matches

    similar = get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {similar[0]!r}?)" if similar else ""
