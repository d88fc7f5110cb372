import re
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch

from coursekit.core.files import shipped
from coursekit.lessons.course import LESSONS
from coursekit.show import course_map
from coursekit.show.course_map import _ARROWS, _CORNERS, _OPTIONAL_ARROWS, _PARTS, OPTIONAL

DONE = dict.fromkeys(LESSONS, (1, 2)) | {2: (3, 3)}


def _texts(*arguments, **options):
    return [text.get_text() for text in course_map(*arguments, **options).axes[0].texts]


def test_each_lesson_is_there_under_its_title():
    names = [f"{lesson:02} · {LESSONS[lesson].title.removeprefix('The ').lower()}" for lesson in LESSONS]
    assert [text.lower() for text in _texts() if "·" in text] == names


def test_the_map_says_whose_each_part_is():
    texts = _texts({2: (3, 3), 3: (1, 2)}, here=3)
    assert texts.count("yours") == 1
    assert texts.count("1 of 2 yours") == 1
    assert texts.count("optional") == len(OPTIONAL)
    assert texts.count("reference") == len(LESSONS) - len(OPTIONAL) - 2
    assert texts.count("▸ you are here") == 1


def test_the_loader_leads_to_training_and_each_part_to_another():
    arrows = [*_ARROWS, *_OPTIONAL_ARROWS, *_CORNERS]
    assert (1, 8) in arrows
    assert {start for start, _ in arrows} == set(LESSONS) - {10} - set(OPTIONAL)
    assert {end for _, end in arrows} == set(LESSONS) - {0}
    drawn = [patch for patch in course_map().axes[0].patches if isinstance(patch, FancyArrowPatch)]
    assert len(drawn) == len(arrows)


@pytest.mark.parametrize("lesson", OPTIONAL)
def test_an_arrow_into_an_optional_lesson_comes_from_one_that_it_needs(lesson):
    rows = shipped("course/README.md").read_text(encoding="utf-8").splitlines()
    row = next(row for row in rows if row.startswith(f"| {lesson} |"))
    needed = {int(number) for number in re.findall(r"\d+", row.split("|")[5])}
    starts = {start for start, end in [*_ARROWS, *_OPTIONAL_ARROWS, *_CORNERS] if end == lesson}
    assert starts
    assert starts <= needed


def test_optional_lessons_are_dashed_and_are_those_of_the_course():
    assert {number for number, lesson in LESSONS.items() if lesson.optional} == set(OPTIONAL)
    boxes = [patch for patch in course_map().axes[0].patches if not isinstance(patch, FancyArrowPatch)]
    assert sum(box.get_linestyle() in ("--", "dashed") for box in boxes) == len(OPTIONAL)
    assert "1 of 2 yours" in _texts({11: (1, 2)})


@pytest.mark.parametrize("here", LESSONS)
def test_no_label_covers_another_or_leaves_its_box(here):
    fig = course_map(DONE, here=here)
    FigureCanvasAgg(fig).draw()
    texts = [text.get_window_extent() for text in fig.axes[0].texts]
    assert not any(text.overlaps(other) for text, other in combinations(texts, 2))
    boxes = [patch.get_window_extent() for patch in fig.axes[0].patches if not isinstance(patch, FancyArrowPatch)]
    assert all(any(box.x0 < text.x0 and text.x1 < box.x1 for box in boxes) for text in texts)


def test_no_two_parts_share_a_place():
    assert len({place[:2] for place in _PARTS.values()}) == len(LESSONS)
