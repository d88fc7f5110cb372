"""What the build refuses in a lesson: too much given code, too little to do, a heading that says something else."""

import re
from collections.abc import Iterator, Mapping

from coursekit.lessons.course import LESSONS, badge_of
from coursekit.lessons.notebooks.given_code import Cell
from coursekit.lessons.notebooks.given_code import problems as problems_of_given_code

ENFORCED = tuple(LESSONS)  # the lessons that must keep these rules
LEAST_SHARE = 0.6  # of a lesson's minutes, for its exercises
MOSTLY_READ = (0, 10)  # lessons that need no such share
HEADING = re.compile(r"^### Exercise [\d.]+ · `(\w+)` · [●○]{3} · (\d+) min(?: · (.+))?$", re.MULTILINE)


def problems(lesson: int, cells: list[Cell], minutes: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with a student's notebook, one sentence each.

    Args:
        lesson: its number.
        cells: the notebook's cells.
        minutes: how long each exercise takes, by its name.
    """
    yield from problems_of_given_code(lesson, cells)
    names = [cell["id"] for cell in cells if "nbgrader" in cell["metadata"]]
    yield from _too_little_to_do(lesson, sum(minutes[name] for name in names))
    pages = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    headings = {name: (int(length), badge) for name, length, badge in HEADING.findall(pages)}
    for name in names:
        right = minutes[name], badge_of(name)
        if headings.get(name) != right:
            yield f"{name} needs a heading that ends in “· {right[0]} min · {right[1]}”; it has {headings.get(name)}."


def _too_little_to_do(lesson: int, doing: int) -> Iterator[str]:
    whole = LESSONS[lesson].minutes
    if lesson not in MOSTLY_READ and doing < LEAST_SHARE * whole:
        yield f"exercises take {doing} of its {whole} minutes; at least {LEAST_SHARE:.0%} are needed."
