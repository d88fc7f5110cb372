"""Is what came what was expected? If not, in which words to say so?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coursekit.lessons.checking.outcome import Outcome, Plain, plain

FEW = 24  # numbers that are shown in full


@dataclass(frozen=True)
class Problem:
    """What is wrong on one case: what was tried, what came, what was expected, in words."""

    tried: str
    came: str
    expected: str


def problem(outcome: Outcome, expected: Plain, before: Plain, tolerance: float) -> tuple[str, str] | None:
    """What came and what was expected, where they differ; or an argument that was changed on the way."""
    if outcome.raised is not None:
        return outcome.raised, shown(expected)
    assert outcome.came is not None
    found = difference(outcome.came, expected, tolerance)
    if found is None and outcome.given is not None and difference(outcome.given, before, 0.0):
        return "the right values, but an argument was changed on the way", "a new one: the caller still needs the old"
    return found


def difference(came: Plain, expected: Plain, tolerance: float) -> tuple[str, str] | None:
    """What came and what was expected, where they differ, in words; else None."""
    kind, value = expected
    if (came[0] == "number" and kind == "number") or came[0] == kind == "bool":
        same = torch.isclose(_double(came[1]), _double(value), rtol=tolerance, atol=tolerance, equal_nan=True)
        return None if bool(same) else (str(came[1]), str(value))
    if kind == "number" and came[0] == "tensor" and came[1].numel() == 1:  # a tensor of one number is as good
        return difference(("number", came[1].item()), expected, tolerance)
    if came[0] != kind:
        return _name(came), _name(expected)
    if kind in ("tensor", "array"):
        return _tensors(came[1], value, tolerance)
    if kind == "list":
        if len(came[1]) != len(value):
            few = [f": {shown(one)}" if _is_short(one[1], FEW) else "" for one in (came, expected)]
            return f"{len(came[1])} values{few[0]}", f"{len(value)}{few[1]}"
        return _first([(f"value {n}", a, b) for n, (a, b) in enumerate(zip(came[1], value, strict=True))], tolerance)
    if kind == "dict":
        both = [(key, came[1][key], value[key]) for key in value if key in came[1]]
        if found := _first(both, tolerance):
            wrong = sum(difference(one, other, tolerance) is not None for _, one, other in both)
            right = f" (right: {len(both) - wrong} of {len(both)} parts)" if wrong < len(both) else ""
            return found[0] + right, found[1]
        missing = came[1].keys() ^ value.keys()
        return (f"{', '.join(came[1])}", f"{', '.join(value)}") if missing else None
    return None if came == expected else (_name(came), _name(expected))


def _first(pairs: Sequence[tuple[str, Plain, Plain]], tolerance: float) -> tuple[str, str] | None:
    for name, came, expected in pairs:
        if found := difference(came, expected, tolerance):
            return f"{name}: {found[0]}", f"{name}: {found[1]}"
    return None


def _tensors(came: Tensor, expected: Tensor, tolerance: float) -> tuple[str, str] | None:
    if came.shape != expected.shape:
        return f"the shape {tuple(came.shape)}{_if_few(came)}", f"{tuple(expected.shape)}{_if_few(expected)}"
    if came.dtype != expected.dtype:
        return str(came.dtype).removeprefix("torch."), str(expected.dtype).removeprefix("torch.")
    if expected.dtype == torch.float64:
        tolerance = tolerance * 1e-5
    finite = expected.double().nan_to_num(0, 0, 0)
    size = finite.abs().max().clamp(min=1).item() if expected.numel() else 1.0
    same = torch.isclose(came.double(), expected.double(), rtol=tolerance, atol=tolerance * size, equal_nan=True)
    if bool(same.all()):
        return None
    if came.numel() <= FEW:
        return _numbers(came), _numbers(expected)
    where = [int(n) for n in torch.nonzero(~same)[0]]
    one, other = came[tuple(where)].item(), expected[tuple(where)].item()
    return f"{one:.6g} at {where} ({int((~same).sum())} of {came.numel()} values differ)", f"{other:.6g} there"


def shown(value: Plain, few: int = FEW) -> str:
    """A value for a message, in a line."""
    kind, content = value
    if kind in ("tensor", "array"):
        return _numbers(content) if content.numel() <= few else _name(value)
    if kind == "list":
        parts = [shown(one, few // 2) for one in content]
        return f"[{', '.join(parts)}]" if _is_short(content, few) else f"{len(parts)} values"
    if kind == "dict":
        return "{" + ", ".join(f"{key}: {shown(one, few // 2)}" for key, one in content.items()) + "}"
    return repr(content) if kind == "str" else str(content)


def _is_short(content: Sequence[Plain], few: int) -> bool:
    """Whether a list is shown value by value."""
    return len(content) < 5 or (len(content) <= few and all(one[0] == "number" for one in content))


def given(names: Sequence[str], args: tuple[Any, ...]) -> str:
    """The arguments of a call, in a line."""
    return ", ".join(f"{name}={shown(plain(value))}" for name, value in zip(names, args, strict=False))


def _name(value: Plain) -> str:
    kind, content = value
    if kind == "str":
        return str(content)
    if kind in ("tensor", "array"):
        what = "a tensor" if kind == "tensor" else "a NumPy array"
        return f"{what} {tuple(content.shape)} of {str(content.dtype).removeprefix('torch.')}"
    names = {
        "NoneType": "None (is there a return?)",
        "other": f"an object of type {content}",
        "list": "a list or tuple",
    }
    return names.get(kind, f"the {kind} {content}" if kind in ("number", "bool") else f"a {kind}")


def _if_few(value: Tensor) -> str:
    return f", {_numbers(value)}" if 0 < value.numel() <= FEW else ""


def _numbers(value: Tensor) -> str:
    def plainly(one: Any) -> Any:
        if isinstance(one, list):
            return [plainly(each) for each in one]
        return round(one, 4) if isinstance(one, float) else one

    return str(plainly(value.tolist()))


def _double(value: Any) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)
