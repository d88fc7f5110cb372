"""Errors for people: each message says what is wrong, where, and what to do."""

from collections.abc import Iterable


class CourseError(Exception):
    """Something the user can fix. The command line prints the message and exits with code 2."""


class DataError(CourseError):
    """A file or a record of a data set or a run is missing, damaged or inconsistent."""


class ConfigError(CourseError):
    """An option has a value that can't be used."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known name most similar to a wrong one; an empty text if none is similar."""
    from difflib import get_close_matches

    similar = get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {similar[0]!r}?)" if similar else ""
