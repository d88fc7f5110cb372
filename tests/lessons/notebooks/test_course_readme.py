"""The map of the course for interns says what the lessons say."""

import json
import re
from pathlib import Path

import pytest

from coursekit.lessons.course import LESSONS

COURSE = Path(__file__).parents[3] / "course"
ROW = re.compile(r"^\| (\d\d) \| \[(.+?)\]\((.+?)\) \| .+? \| (\d+) \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall((COURSE / "README.md").read_text(encoding="utf-8"))


def test_every_lesson_stands_in_it():
    assert [(int(number), title) for number, title, *_ in ROWS] == [
        (number, lesson.title) for number, lesson in LESSONS.items()
    ]
    assert [int(minutes) for *_, minutes, _ in ROWS] == [lesson.minutes for lesson in LESSONS.values()]


@pytest.mark.parametrize("path", [COURSE / "README.md", COURSE.parent / "docs" / "instructor-guide.md"])
def test_the_hours_are_the_sum_of_the_minutes(path):
    lessons = sum(lesson.minutes for number, lesson in LESSONS.items() if number < 10)
    hours, with_project = (round(minutes / 60) for minutes in (lessons, lessons + LESSONS[10].minutes))
    text = path.read_text(encoding="utf-8")
    assert re.search(rf"about {hours} hours.* {with_project} hours with lesson 10", text)


@pytest.mark.parametrize(("name", "needs"), [(name, needs) for _, _, name, _, needs in ROWS])
def test_what_a_lesson_needs_is_what_its_head_says(name, needs):
    head = "".join(json.loads((COURSE / name).read_text(encoding="utf-8"))["cells"][0]["source"])
    said = re.search(r"· you need (.+?) (?:·|\()", head)
    assert re.findall(r"\d\d", needs) == (re.findall(r"\d\d", said.group(1)) if said else [])
