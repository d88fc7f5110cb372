"""Which known mistake does an answer make? The one that gives exactly what the answer gave."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from coursekit.lessons.checking.compare_outcomes import difference
from coursekit.lessons.checking.outcome import Outcome, expected_outcomes
from coursekit.lessons.checking.runner import try_mistakes
from coursekit.lessons.checking.systematic_mistakes import systematic_mistake
from coursekit.lessons.exercise import Exercise
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.meta_device import is_elsewhere


def likely_mistake(exercise: Exercise, actual: Sequence[Outcome]) -> str | None:
    """Return, in words, the mistake that explains an answer's outcomes; None if no mistake does.

    A known mistake is named if it gives the same outcomes as the answer in all cases; cases on another device don't
    count. If no known mistake does, right values in the wrong order or with swapped axes are recognized.
    """
    cases = exercise.all_cases()
    if len(actual) == len(cases):
        here = [number for number, case in enumerate(cases) if not is_elsewhere(case.args)]
        for words, wrong in _known_mistakes(exercise.name):
            if len(wrong) == len(cases) and all(_is_alike(actual[number], wrong[number]) for number in here):
                return words
    expected = expected_outcomes(exercise)
    return _rearranged(actual, expected) or systematic_mistake(cases, actual, expected, exercise.results)


@cache
def _known_mistakes(name: str) -> list[tuple[str, list[Outcome]]]:
    """Return the words of each known mistake, and its outcomes. They run in a process of their own, like answers."""
    trials = try_mistakes(name)
    return [(wrong.words, trial.outcomes) for wrong, trial in zip(EXERCISES[name].mistakes, trials, strict=True)]


def _is_alike(actual: Outcome, wrong: Outcome) -> bool:
    if actual.value is None or wrong.value is None:
        return actual.value is wrong.value
    if actual.args is not None and wrong.args is not None and difference(actual.args, wrong.args, 0):
        return False
    return difference(actual.value, wrong.value, 1e-4) is None


def _rearranged(actual: Sequence[Outcome], expected: Sequence[Outcome]) -> str | None:
    """Return how the numbers are rearranged, if every wrong value holds the right numbers in other places."""
    words: set[str] = set()
    for mine, theirs in zip(actual, expected, strict=False):
        if mine.value is None or theirs.value is None or mine.value[0] != "tensor" or theirs.value[0] != "tensor":
            return None
        value, right = mine.value[1].double(), theirs.value[1].double()
        if value.numel() != right.numel():
            return None
        if value.shape == right.shape and _is_close(value, right):
            continue
        if value.ndim == 2 and value.T.shape == right.shape and _is_close(value.T, right):
            words.add("the values are right, but rows and columns are swapped")
        elif value.shape != right.shape and _is_close(value.flatten(), right.flatten()):
            words.add("the right numbers in another shape")
        elif _is_close(value.flatten().sort()[0], right.flatten().sort()[0]):
            words.add("the right numbers in another order")
        else:
            return None
    return words.pop() if len(words) == 1 else None


def _is_close(value: Tensor, right: Tensor) -> bool:
    return torch.allclose(value, right, rtol=1e-4, atol=1e-4)
