"""The exercises, lesson by lesson: what a check tries, the hints, and the mistakes that it knows.

Each module here called `lessonNN` has a tuple EXERCISES.
"""

import pkgutil
from importlib import import_module

from coursekit.lessons.exercise import Exercise

LESSONS = [
    import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__) if one.name.startswith("lesson")
]
EXERCISES: dict[str, Exercise] = {one.name: one for lesson in LESSONS for one in lesson.EXERCISES}
