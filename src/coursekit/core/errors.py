"""Errors that are meant for people: one message that says what was wrong, where, and what to do."""


class CourseError(Exception):
    """Something the user can put right. The command line prints its text and exits with 2."""


class DataError(CourseError):
    """A file or a record of a data set is missing, damaged or inconsistent."""


class ConfigError(CourseError):
    """An option has a value that can't be used."""
