"""Is an outcome the expected one? If not, what differs?"""

from collections.abc import Sequence
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


def mismatch(outcome: Outcome, expected: Outcome, tolerance: float) -> Pair | None:
    """Return what the answer gave and what was expected, in words; None if they agree.

    Args:
        outcome: outcome of the answer.
        expected: outcome of the reference on the same case. Arguments that are different after the call are wrong too.
        tolerance: relative and absolute; see `Exercise`.
    """
    assert expected.value is not None, expected.raised
    assert expected.args is not None
    if outcome.raised is not None:
        return outcome.raised, shown(expected.value)
    assert outcome.value is not None
    wrong = difference(outcome.value, expected.value, tolerance)
    if wrong is None and outcome.args is not None and difference(outcome.args, expected.args, 0.0):
        return (
            "the right values, but it changed one of its arguments",
            "a new value: the caller still needs the old one",
        )
    return wrong


def difference(actual: Plain, expected: Plain, tolerance: float, part: str = "result") -> Pair | None:
    """Return two values in words, if they differ; else None.

    Args:
        actual: of the answer.
        expected: of the reference.
        tolerance: relative and absolute; see `Exercise`.
        part: what a part of the value is called: a result, or within one a value.
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
        return _lists(actual, expected, tolerance, part)
    if kind == "dict":
        return _dicts(actual[1], value, tolerance, part)
    return None if actual == expected else (kind_of(actual), kind_of(expected))


def _mappings(actual: Plain, expected: Plain, tolerance: float) -> Pair | None:
    """Compare dicts whose keys are numbers, in their order. They are shown as a whole."""
    same = actual[0] == expected[0] and difference(("list", actual[1]), ("list", expected[1]), tolerance) is None
    return None if same else (shown(actual), shown(expected))


def _lists(actual: Plain, expected: Plain, tolerance: float, part: str) -> Pair | None:
    mine, theirs = actual[1], expected[1]
    if len(mine) != len(theirs):
        few = [f": {shown(value)}" if is_short(value[1], FEW) else "" for value in (actual, expected)]
        return f"{len(mine)} values{few[0]}", f"{len(theirs)}{few[1]}"
    return _first([(nth(n, part), a, b) for n, (a, b) in enumerate(zip(mine, theirs, strict=True))], tolerance)


def nth(number: int, part: str = "result") -> str:
    """Return how a message names a part of a list, counted from 0: "first result", and from the seventh on by index."""
    return f"{ORDINALS[number]} {part}" if number < len(ORDINALS) else f"{part} [{number}]"


def _dicts(actual: dict[str, Plain], expected: dict[str, Plain], tolerance: float, part: str) -> Pair | None:
    shared = [(key, actual[key], expected[key]) for key in expected if key in actual]
    if wrong := _first(shared, tolerance):
        count = sum(difference(mine, theirs, tolerance) is not None for _, mine, theirs in shared)
        is_whole = part == "result"  # one count is enough: that of the outermost dict
        right = f" (right: {len(shared) - count} of its {len(shared)} keys)" if is_whole and count < len(shared) else ""
        return wrong[0] + right, wrong[1]
    return (", ".join(actual), ", ".join(expected)) if actual.keys() != expected.keys() else None


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
    off = (actual.double() - expected.double())[~same]
    by = f" (off by {off[off.abs().argmax()]:+.1e})"  # in case both look the same
    if actual.numel() <= FEW:
        texts = numbers(actual), numbers(expected)
        return (texts[0] + by, texts[1]) if texts[0] == texts[1] else texts
    place = [int(n) for n in torch.nonzero(~same)[0]]
    mine, theirs = f"{actual[tuple(place)].item():.6g}", f"{expected[tuple(place)].item():.6g}"
    count = f"({int((~same).sum())} of {actual.numel()} values differ)"
    return f"{mine} at {place} {count}{by if mine == theirs else ''}", f"{theirs} there"


def _double(value: Any) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)
