from coursekit.lessons.workbook.status import LessonStatus
from coursekit.report.facts import Course
from coursekit.report.sections import _exercises


def test_the_course_so_far_says_how_answers_came_about():
    lesson = LessonStatus(0, "Start here", {"box_iou": "correct"}, 60, 0, 1, [], {"box_iou": "generated | <b>"})
    text = _exercises(Course([lesson]))
    assert "| how it came about |" in text
    assert "box_iou:\u00a0generated \\| \\<b>" in text
