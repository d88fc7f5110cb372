import inspect
import re
import sys

from coursekit.core.files import shipped
from coursekit.lessons.course import BADGE_MEANS, BADGES, LESSONS, REGIONS, badge_of, exercises_of
from coursekit.lessons.exercises import EXERCISES

HEADING = re.compile(r"### Exercise ([\d.]+) · `(\w+)`")
NAMES = [name for lesson in LESSONS.values() for name in lesson.exercises]


def test_badges_are_for_exercises():
    assert set(BADGES) <= set(NAMES)
    assert set(map(badge_of, NAMES)) == set(BADGE_MEANS)


def test_an_exercise_without_a_badge_of_its_own_is_explain_only():
    assert badge_of("nms") == "by hand"
    assert badge_of("collate") == "delegate"
    assert badge_of("propose") == "explain only"


def test_minutes_and_regions_are_those_of_the_exercises():
    minutes = {name: minutes for lesson in LESSONS.values() for name, minutes in lesson.exercises.items()}
    assert {name: EXERCISES[name].minutes for name in NAMES} == minutes
    assert {name: EXERCISES[name].regions for name in NAMES if EXERCISES[name].regions > 1} == REGIONS


def test_an_exercise_has_the_same_number_in_its_lesson_and_in_its_file():
    pages = [path.read_text(encoding="utf-8") for path in sorted(shipped("course").glob("*.ipynb"))]
    numbers = {name: number for page in pages for number, name in HEADING.findall(page)}
    assert set(numbers) == set(NAMES)
    for name, number in numbers.items():
        words = inspect.getdoc(sys.modules[EXERCISES[name].cases.__module__]) or ""
        assert re.match(rf"Exercise {re.escape(number)}[:, ]", words), (name, number, words)


def test_lessons_after_the_project_are_optional():
    assert {number for number, lesson in LESSONS.items() if lesson.optional} == {11, 12}
    assert exercises_of([11]) == list(LESSONS[11].exercises)
    assert exercises_of([0, 11]) == [*LESSONS[0].exercises, *LESSONS[11].exercises]
    assert exercises_of() == [name for number in range(11) for name in LESSONS[number].exercises]
    assert exercises_of([99]) == []
