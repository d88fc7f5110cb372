import re

from coursekit.lessons.course import BADGE_MEANS, LESSONS, badge_of
from coursekit.lessons.notebooks.agents_md import agents_text


def test_each_exercise_is_below_its_badge():
    sections = re.split(r"^## (.+)$", agents_text(), flags=re.MULTILINE)[1:]
    below = {badge: re.findall(r"`(\w+)`", text) for badge, text in zip(sections[::2], sections[1::2], strict=True)}
    assert list(below) == list(BADGE_MEANS)
    names = [name for lesson in LESSONS.values() for name in lesson.exercises]
    assert sorted(name for listed in below.values() for name in listed) == sorted(names)
    assert all(badge_of(name) == badge for badge, listed in below.items() for name in listed)


def test_it_says_whom_it_reaches():
    assert "this file reaches coding agents only" in agents_text()
