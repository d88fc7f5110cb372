"""Every exercise: wrong answers are rejected, right ones accepted, and the mistakes that it knows are recognised."""

import pytest

from coursekit.lessons.checking.compare import problem
from coursekit.lessons.checking.mistakes import likely_mistake
from coursekit.lessons.checking.outcome import attempt, meant
from coursekit.lessons.checking.runner import Trial
from coursekit.lessons.checking.verdict import check, first_problem, outcomes_of
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.answers import MISTAKES, answers, store

ALL = [(name, key) for name in EXERCISES for key in answers(name)]
KNOWN = [(name, number) for name, one in EXERCISES.items() for number in range(len(one.mistakes))]


def test_each_exercise_has_at_least_five_wrong_answers_and_a_right_one():
    for name, exercise in EXERCISES.items():
        found = answers(name)
        assert sum(key.startswith("wrong_") for key in found) >= 5, name
        assert any(key.startswith("right_") for key in found), name
        assert len(exercise.mistakes) >= 5, name
        assert len(exercise.hints) == 3, name
    assert {path.stem for path in MISTAKES.glob("*.py")} == set(EXERCISES)


@pytest.mark.parametrize(("name", "key"), ALL)
def test_wrong_answers_are_rejected_and_right_ones_accepted(name, key):
    exercise, answer, found = EXERCISES[name], answers(name)[key], None
    for case, right in zip(exercise.all_cases(), meant(exercise), strict=True):  # up to the first that fails
        try:
            found = problem(attempt(exercise, answer, case), right.came, right.given, exercise.tolerance)
        except NotImplementedError:
            found = "nothing there"
        if found:
            break
    assert (found is None) == key.startswith("right_"), found


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_passes_in_a_process_of_its_own(name):
    right = next(one for key, one in answers(name).items() if key.startswith("right_"))
    store(name, right)
    verdict = check(name)
    assert verdict.state == "correct", str(verdict)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_accepted(name):
    exercise = EXERCISES[name]
    assert first_problem(exercise, Trial(outcomes_of(exercise, exercise.reference), ended="well")) is None


@pytest.mark.parametrize(("name", "number"), KNOWN)
def test_a_known_mistake_fails_and_is_recognised(name, number):
    exercise = EXERCISES[name]
    mistake = exercise.mistakes[number]
    outcomes = outcomes_of(exercise, mistake.answer)
    assert first_problem(exercise, Trial(outcomes, ended="well")) is not None
    assert likely_mistake(exercise, outcomes) == mistake.words
