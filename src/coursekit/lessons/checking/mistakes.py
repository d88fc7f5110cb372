"""Which of the common mistakes is it? The one that gives just what the answer gave."""

import contextlib
from collections.abc import Sequence
from functools import cache

import torch

from coursekit.lessons.checking.compare import difference
from coursekit.lessons.checking.outcome import Outcome, attempt, meant
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.other_device import is_elsewhere


def likely_mistake(exercise: Exercise, outcomes: Sequence[Outcome]) -> str | None:
    """In words, which mistake an answer's outcomes look like.

    A known mistake is recognised where it gives what the answer gave on every case; else values that are right but for
    their order or their axes are. Whether the answer would also fail on a GPU makes no difference.
    """
    cases = exercise.all_cases()
    if len(outcomes) == len(cases):
        here = [number for number, case in enumerate(cases) if not is_elsewhere(case.args)]
        for words, theirs in _of_mistakes(exercise.name):
            if all(_alike(outcomes[number], theirs[number]) for number in here):
                return words
    return _rearranged(outcomes, meant(exercise))


@cache
def _of_mistakes(name: str) -> list[tuple[str, list[Outcome]]]:
    exercise, found = EXERCISES[name], []
    for mistake in exercise.mistakes:
        with contextlib.suppress(NotImplementedError):
            found.append((mistake.words, [attempt(exercise, mistake.answer, case) for case in exercise.all_cases()]))
    return found


def _alike(one: Outcome, other: Outcome) -> bool:
    if one.came is None or other.came is None:
        return one.came is other.came
    if one.given is not None and other.given is not None and difference(one.given, other.given, 0):
        return False
    return difference(one.came, other.came, 1e-4) is None


def _rearranged(outcomes: Sequence[Outcome], expected: Sequence[Outcome]) -> str | None:
    """Where every answer that is wrong holds the right numbers in other places."""
    words: set[str] = set()
    for one, other in zip(outcomes, expected, strict=False):
        if one.came is None or other.came is None or one.came[0] != "tensor" or other.came[0] != "tensor":
            return None
        came, right = one.came[1].double(), other.came[1].double()
        if came.numel() != right.numel():
            return None
        if came.shape == right.shape and torch.allclose(came, right, rtol=1e-4, atol=1e-4):
            continue
        if came.ndim == 2 and came.T.shape == right.shape and torch.allclose(came.T, right, rtol=1e-4, atol=1e-4):
            words.add("the values are right, with rows and columns swapped")
        elif torch.allclose(came.flatten().sort()[0], right.flatten().sort()[0], rtol=1e-4, atol=1e-4):
            words.add("the right numbers, in another order")
        else:
            return None
    return words.pop() if len(words) == 1 else None
