"""Is an outcome the expected one? If not, what differs?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coursekit.lessons.checking.outcome import Outcome, Plain
from coursekit.lessons.checking.wording import FEW, if_few, is_short, kind_of, numbers, shown

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
Pair = tuple[str, str]  # what an answer gave, and what was expected, in words


@dataclass(frozen=True)
class Problem:
    """What is wrong on one case: what was tried, what the answer gave, what was expected, in words."""

    tried: str
    got: str
    expected: str


def mismatch(outcome: Outcome, expected: Outcome, tolerance: float, names: Sequence[str] = ()) -> Pair | None:
    """Return what the answer gave and what was expected, in words; None if they agree.

    Args:
        outcome: outcome of the answer.
        expected: outcome of the reference on the same case. Arguments that are different after the call are wrong too.
        tolerance: relative and absolute; see `Exercise`.
        names: of the values of a tuple, if it has that many; else they are the first, second … result.
    """
    assert expected.value is not None, expected.raised
    assert expected.args is not None
    if outcome.raised is not None:
        return outcome.raised, shown(expected.value)
    assert outcome.value is not None
    wrong = difference(outcome.value, expected.value, tolerance, names=names)
    if wrong is None and outcome.args is not None and difference(outcome.args, expected.args, 0.0):
        return (
            "the right values, but it changed one of its arguments",
            "a new value: the caller still needs the old one",
        )
    return wrong


def difference(
    actual: Plain, expected: Plain, tolerance: float, part: str = "result", names: Sequence[str] = ()
) -> Pair | None:
    """Return two values in words, if they differ; else None.

    Args:
        actual: of the answer.
        expected: of the reference.
        tolerance: relative and absolute; see `Exercise`.
        part: what a part of the value is called: a result, or within one a value.
        names: see `mismatch`.
    """
    kind, value = expected
    if (actual[0] == "number" and kind == "number") or actual[0] == kind == "bool":
        same = torch.isclose(_double(actual[1]), _double(value), rtol=tolerance, atol=tolerance, equal_nan=True)
        return None if bool(same) else (str(actual[1]), str(value))
    if kind == "number" and actual[0] == "tensor" and actual[1].numel() == 1:  # a tensor of one number is as good
        return difference(("number", actual[1].item()), expected, tolerance)
    if {actual[0], kind} <= {"mapping", "dict"} and "mapping" in (actual[0], kind):
        return _mappings(actual, expected, tolerance)
    if actual[0] != kind:
        return kind_of(actual), kind_of(expected)
    if kind in ("tensor", "array"):
        return _tensors(actual[1], value, tolerance)
    if kind == "list":
        return _lists(actual, expected, tolerance, part, names)
    if kind == "dict":
        return _dicts(actual[1], value, tolerance, part)
    return None if actual == expected else (kind_of(actual), kind_of(expected))


def _mappings(actual: Plain, expected: Plain, tolerance: float) -> Pair | None:
    """Compare dicts whose keys are numbers, in their order. They are shown as a whole."""
    same = actual[0] == expected[0] and difference(("list", actual[1]), ("list", expected[1]), tolerance) is None
    return None if same else (shown(actual), shown(expected))


def _lists(actual: Plain, expected: Plain, tolerance: float, part: str, names: Sequence[str]) -> Pair | None:
    mine, theirs = actual[1], expected[1]
    if len(mine) != len(theirs):
        few = [f": {shown(value)}" if is_short(value[1], FEW) else "" for value in (actual, expected)]
        return f"{len(mine)} values{few[0]}", f"{len(theirs)}{few[1]}"
    called = names_of_parts(len(theirs), part, names)
    return _first(list(zip(called, mine, theirs, strict=True)), tolerance)


def names_of_parts(count: int, part: str = "result", names: Sequence[str] = ()) -> Sequence[str]:
    """Return how a message names the parts of a list: by these names, if there are as many."""
    return names if len(names) == count else [_nth(number, part) for number in range(count)]


def _nth(number: int, part: str) -> str:
    """Return the name of a part counted from 0: "first result", and from the seventh on by index."""
    return f"{ORDINALS[number]} {part}" if number < len(ORDINALS) else f"{part} [{number}]"


def _dicts(actual: dict[str, Plain], expected: dict[str, Plain], tolerance: float, part: str) -> Pair | None:
    shared = [(key, actual[key], expected[key]) for key in expected if key in actual]
    if wrong := _first(shared, tolerance):
        right = sum(difference(mine, theirs, tolerance) is None for _, mine, theirs in shared)
        is_whole = part == "result"  # one count is enough: that of the outermost dict
        return wrong[0] + (_share(right, len(shared)) if is_whole else ""), wrong[1]
    return (", ".join(actual), ", ".join(expected)) if actual.keys() != expected.keys() else None


def _share(right: int, count: int) -> str:
    """Return how much of an answer is right, in words; nothing if none is. A check may look at more than it returns."""
    return f" ({right} of the {count} things checked {'is' if right == 1 else 'are'} right)" if right else ""


def _first(triples: Sequence[tuple[str, Plain, Plain]], tolerance: float) -> Pair | None:
    """Return the first (name, actual, expected) that differs, in words."""
    for name, actual, expected in triples:
        if wrong := difference(actual, expected, tolerance, "value"):
            return f"{name}: {wrong[0]}", f"{name}: {wrong[1]}"
    return None


def _tensors(actual: Tensor, expected: Tensor, tolerance: float) -> Pair | None:
    if actual.shape != expected.shape:
        return f"the shape {tuple(actual.shape)}{if_few(actual)}", f"{tuple(expected.shape)}{if_few(expected)}"
    if actual.dtype != expected.dtype:
        return str(actual.dtype).removeprefix("torch."), str(expected.dtype).removeprefix("torch.")
    if expected.dtype == torch.float64:
        tolerance = tolerance * 1e-5
    finite = expected.double().nan_to_num(0, 0, 0)
    scale = finite.abs().max().clamp(min=1).item() if expected.numel() else 1.0
    same = torch.isclose(actual.double(), expected.double(), rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    if bool(same.all()):
        return None
    if actual.numel() <= FEW:
        return _unlike((numbers(actual, digits), numbers(expected, digits)) for digits in range(4, 18))
    place = [int(n) for n in torch.nonzero(~same)[0]]
    values = actual[tuple(place)].item(), expected[tuple(place)].item()
    mine, theirs = _unlike((f"{values[0]:.{digits}g}", f"{values[1]:.{digits}g}") for digits in range(6, 18))
    return f"{mine} at {place} ({int((~same).sum())} of {actual.numel()} values differ)", f"{theirs} there"


def _unlike(pairs: Iterable[Pair]) -> Pair:
    """Return the first pair of texts that differ: two numbers are shown with as many digits as that takes."""
    pair = "", ""
    for pair in pairs:
        if pair[0] != pair[1]:
            break
    return pair


def _double(value: Any) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)
