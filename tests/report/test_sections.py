from types import SimpleNamespace
from typing import Any

from coursekit.lessons.workbook.status import LessonStatus
from coursekit.report.facts import Course, Training
from coursekit.report.sections import _exercises, _written
from coursekit.training.clock import PHASES


def test_the_course_so_far_says_how_answers_came_about():
    lesson = LessonStatus(0, "Start here", {"box_iou": "correct"}, 60, 0, 1, [], {"box_iou": "generated | <b>"})
    text = _exercises(Course([lesson]))
    assert "| how it came about |" in text
    assert "box_iou:\u00a0generated \\| \\<b>" in text


def test_optional_lessons_count_apart_and_are_listed_once_begun():
    def lesson(number, state, *, optional):
        return LessonStatus(number, "Title", {"a": state}, 60, 0, 0, [], {}, optional)

    required, begun, untouched = (
        lesson(0, "correct", optional=False),
        lesson(11, "correct", optional=True),
        lesson(12, "not started", optional=True),
    )
    config: Any = SimpleNamespace(own_step=False)
    assert _written(Course([required, begun, untouched]), config).startswith("1 of 1 exercises and 1 optional one; ")
    assert _written(Course([required, untouched]), config).startswith("1 of 1 exercises; ")
    text = _exercises(Course([required, begun, untouched]))
    assert "11 Title (optional)" in text
    assert "12 Title" not in text


def _step(**phases):
    return {"phases": dict.fromkeys(PHASES, 0.0) | phases}


def test_a_step_of_ones_own_is_one_phase_of_the_time():
    def phases_of(*steps):
        return Training(list(steps), [], [], [], "", None).phases

    assert phases_of(_step(data=1.0, step=2.0), _step(step=3.0)) == {"data": 1.0, "step": 5.0}
    assert list(phases_of(_step(data=1.0, forward=2.0))) == list(PHASES)
