"""The AGENTS.md that `coursekit lessons copy` writes: what a coding agent may do in each exercise."""

from coursekit.lessons.course import BADGE_MEANS, LESSONS, Badge, badge_of

FILE = "AGENTS.md"
HEAD = """# For AI coding agents

In this folder I learn how an object detector works, by writing its parts. Each exercise, a cell that begins with
`%%exercise NAME`, has a badge. It says what you may do in it. `my_detector/` holds what I have written; the same
badges hold there.

For me: this file reaches coding agents only, those that read an AGENTS.md. A chat in a browser or the completion in an
editor doesn't see it. The badges are agreements, not locks.
"""


def agents_text() -> str:
    """Return the file's text."""
    return "\n".join([HEAD, *map(_section, BADGE_MEANS)])


def _section(badge: Badge) -> str:
    lines = [f"## {badge}", "", BADGE_MEANS[badge], ""]
    for number, lesson in LESSONS.items():
        names = [f"`{name}`" for name in lesson.exercises if badge_of(name) == badge]
        lines += [f"- {number:02} {lesson.title}: {', '.join(names)}"] if names else []
    return "\n".join([*lines, ""])
