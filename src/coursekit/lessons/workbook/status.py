"""What is done and what is left, lesson by lesson."""

from dataclasses import dataclass

from coursekit.lessons.checking.verdict import State, state_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.notebooks.course import MINUTES, TITLES
from coursekit.lessons.workbook import progress


@dataclass(frozen=True)
class LessonStatus:
    """One lesson.

    Attributes:
        number, title: of the lesson.
        states: name of an exercise → its state.
        minutes: that the lesson takes in all.
        left: of its exercises that are not correct yet.
        hints: opened so far.
        seen: exercises whose reference was looked at.
    """

    number: int
    title: str
    states: dict[str, State]
    minutes: int
    left: int
    hints: int
    seen: list[str]

    @property
    def is_passed(self) -> bool:
        """Whether all of it is the intern's own."""
        return bool(self.states) and all(state == "correct" for state in self.states.values())


def status() -> list[LessonStatus]:
    """All lessons. What was changed in the workbook since its last check is checked now."""
    return [_lesson(number) for number in TITLES]


def _lesson(number: int) -> LessonStatus:
    mine = [one for one in EXERCISES.values() if one.lesson == number]
    states = {one.name: state_of(one.name) for one in mine}
    records = {one.name: progress.record(one.name) for one in mine}
    return LessonStatus(
        number,
        TITLES[number],
        states,
        MINUTES[number],
        left=sum(one.minutes for one in mine if states[one.name] != "correct"),
        hints=sum(one.hints for one in records.values()),
        seen=[name for name, one in records.items() if one.seen],
    )
