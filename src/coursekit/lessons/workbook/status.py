"""What is done and what is left, lesson by lesson."""

from dataclasses import dataclass

from coursekit.lessons.course import LESSONS
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.states import State, known_state
from coursekit.lessons.workbook.workbook import Workbook


@dataclass(frozen=True)
class LessonStatus:
    """How far an intern is in one lesson.

    Attributes:
        number, title: number and title of the lesson.
        states: exercise name → state.
        minutes: minutes for the whole lesson.
        left: minutes of the exercises that are not correct yet.
        hints: number of hints opened so far.
        seen: exercises whose reference solution was shown.
        origins: how right answers came about, as their author says, by exercise.
        optional: the course is complete without this lesson.
    """

    number: int
    title: str
    states: dict[str, State]
    minutes: int
    left: int
    hints: int
    seen: list[str]
    origins: dict[str, str]
    optional: bool = False

    @property
    def name(self) -> str:
        """Number and title, and whether the lesson is optional: "11 One stage (optional)"."""
        return f"{self.number:02} {self.title}{' (optional)' if self.optional else ''}"

    @property
    def is_passed(self) -> bool:
        """Whether every exercise is correct."""
        return bool(self.states) and all(state == "correct" for state in self.states.values())


def status(workbook: Workbook) -> list[LessonStatus]:
    """Return the status of all lessons. Answers that have changed since their last check are checked now."""
    return [_lesson(workbook, number) for number in LESSONS]


def _lesson(workbook: Workbook, number: int) -> LessonStatus:
    lesson = LESSONS[number]
    states = {name: _state_of(workbook, name) for name in lesson.exercises}
    records = {name: progress.record(workbook, name) for name in lesson.exercises}
    return LessonStatus(
        number,
        lesson.title,
        states,
        lesson.minutes,
        left=sum(lesson.exercises[name] for name, state in states.items() if state != "correct"),
        hints=sum(record.hints for record in records.values()),
        seen=[name for name, record in records.items() if record.seen],
        origins={name: record.origin for name, record in records.items() if record.origin},
        optional=lesson.optional,
    )


def _state_of(workbook: Workbook, name: str) -> State:
    if state := known_state(workbook, name):
        return state
    from coursekit.lessons.checking.verdict import state_of  # it imports torch, which takes seconds

    return state_of(workbook, name)
