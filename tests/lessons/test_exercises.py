"""Every exercise: wrong answers are rejected, right ones accepted, and named mistakes are recognized."""

import pytest

from coursekit.lessons.checking.compare_outcomes import mismatch
from coursekit.lessons.checking.inside_process import Trial
from coursekit.lessons.checking.known_mistakes import likely_mistake
from coursekit.lessons.checking.outcome import attempt, expected_outcomes, outcomes
from coursekit.lessons.checking.verdict import check, first_problem
from coursekit.lessons.course import LESSONS, badge_of
from coursekit.lessons.exercises import EXERCISES, FOLDER
from tests.lessons.answers import right_answer

WRONG = [(name, place) for name, exercise in EXERCISES.items() for place in range(len(exercise.wrong))]
RIGHT = [(name, place) for name, exercise in EXERCISES.items() for place in range(len(exercise.right))]


def test_the_files_are_the_exercises_of_the_course():
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(EXERCISES)
    assert [exercise.name for exercise in EXERCISES.values()] == list(EXERCISES)
    for number, lesson in LESSONS.items():
        assert {EXERCISES[name].lesson for name in lesson.exercises} <= {number}


def test_each_exercise_has_wrong_answers_a_right_one_and_three_hints():
    for name, exercise in EXERCISES.items():
        assert len(exercise.wrong) >= 5, name
        assert len(exercise.mistakes) >= 5, name
        assert exercise.right, name
        assert len(exercise.hints) == 3, name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), WRONG)
def test_a_wrong_answer_is_rejected(name, place):
    assert _problem(EXERCISES[name], EXERCISES[name].wrong[place].answer) is not None


@pytest.mark.parametrize(("name", "place"), RIGHT)
def test_a_right_answer_is_accepted(name, place):
    assert _problem(EXERCISES[name], EXERCISES[name].right[place]) is None


def _problem(exercise, answer):
    """The first problem of an answer, if there is one."""
    for case, expected in zip(exercise.all_cases(), expected_outcomes(exercise), strict=True):
        try:
            problem = mismatch(attempt(exercise, answer, case), expected, exercise.tolerance)
        except NotImplementedError:
            return "nothing there"
        if problem:
            return problem
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_passes_in_a_process_of_its_own(workbook, name):
    workbook.store(name, right_answer(name))
    verdict = check(workbook, name)
    assert verdict.state == ("untested" if badge_of(name) == "delegate" else "correct"), str(verdict)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_accepted(name):
    exercise = EXERCISES[name]
    assert first_problem(exercise, Trial(list(outcomes(exercise, exercise.reference)), ended="well")) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, place in WRONG if EXERCISES[name].wrong[place].words]
)
def test_a_named_mistake_is_recognized(name, place):
    exercise = EXERCISES[name]
    mistake = exercise.wrong[place]
    assert likely_mistake(exercise, list(outcomes(exercise, mistake.answer))) == mistake.words
