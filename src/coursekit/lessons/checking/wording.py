"""Values and arguments in words, for the messages of a check."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from coursekit.lessons.checking.outcome import Plain, plain

FEW = 24  # up to this many numbers are shown in full
ALIKE = 8  # more than this many are not repeated, if all of them, or all rows, are the same


def shown(value: Plain, few: int = FEW) -> str:
    """Return a value for a message, in one line."""
    kind, content = value
    if kind in ("tensor", "array"):
        return _alike(value) or (numbers(content) if content.numel() <= few else kind_of(value))
    if kind == "list":
        parts = [shown(item, few // 2) for item in content]
        return f"[{', '.join(parts)}]" if is_short(content, few) else f"{len(parts)} values"
    if kind == "dict":
        return "{" + ", ".join(f"{key}: {shown(item, few // 2)}" for key, item in content.items()) + "}"
    if kind == "mapping":
        return "{" + ", ".join(f"{shown(key)}: {shown(item, few // 2)}" for _, (key, item) in content) + "}"
    return repr(content) if kind == "str" else str(content)


def _alike(value: Plain) -> str:
    """Return in words what all numbers of a long vector, or all rows of a long table, are; "" if they differ."""
    _, content = value
    is_table = content.ndim == 2 and len(content) > 1 and content.shape[1] <= ALIKE
    if not (is_table or content.ndim == 1) or content.numel() <= ALIKE or not bool((content == content[0]).all()):
        return ""
    return f"{kind_of(value)}, {'all' if content.ndim == 1 else 'each row'} {numbers(content[0])}"


def is_short(content: Sequence[Plain], few: int) -> bool:
    """Return whether a list is shown value by value."""
    return len(content) < 5 or (len(content) <= few and all(item[0] == "number" for item in content))


def shown_args(names: Sequence[str], args: tuple[Any, ...]) -> str:
    """Return the arguments of a call for a message, in one line."""
    return ", ".join(f"{name}={shown(plain(value))}" for name, value in zip(names, args, strict=False))


def kind_of(value: Plain) -> str:
    """Return what kind of value it is, such as "a tensor (2, 4) of float32"."""
    kind, content = value
    if kind == "str":
        return str(content)
    if kind == "mapping":
        return "a dict"
    if kind in ("tensor", "array"):
        what = "a tensor" if kind == "tensor" else "a NumPy array"
        return f"{what} {tuple(content.shape)} of {str(content.dtype).removeprefix('torch.')}"
    names = {
        "NoneType": "None (is there a return?)",
        "other": f"an object of type {content}",
        "list": "a list or tuple",
    }
    return names.get(kind, f"the {kind} {content}" if kind in ("number", "bool") else f"a {kind}")


def if_few(value: Tensor) -> str:
    """Return a comma and the numbers of a tensor, if they are few enough to show."""
    return f", {numbers(value)}" if 0 < value.numel() <= FEW else ""


def numbers(value: Tensor, digits: int = 4) -> str:
    """Return the numbers of a tensor, rounded to so many decimal places."""

    def rounded(item: Any) -> Any:
        if isinstance(item, list):
            return [rounded(inner) for inner in item]
        return round(item, digits) if isinstance(item, float) else item

    return str(rounded(value.tolist()))
