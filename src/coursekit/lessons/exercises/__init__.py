"""The exercises, lesson by lesson: what a check tries, the hints, and the mistakes that it knows."""

from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import lesson00, lesson01, lesson03, lesson04, lesson05, lesson09

LESSONS = (lesson00, lesson01, lesson03, lesson04, lesson05, lesson09)
EXERCISES: dict[str, Exercise] = {one.name: one for lesson in LESSONS for one in lesson.EXERCISES}
