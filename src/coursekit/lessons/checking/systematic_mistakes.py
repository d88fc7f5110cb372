"""Is an answer wrong in the same way on every case: by a factor, in its dtype, in the order of its numbers?"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from coursekit.lessons.checking.compare_outcomes import difference, mismatch, names_of_parts
from coursekit.lessons.checking.outcome import Outcome, Plain
from coursekit.lessons.exercise import Case
from coursekit.lessons.gradients import NONE
from coursekit.lessons.meta_device import is_elsewhere

Leaf = tuple[str, Plain, Plain]  # the name of a part, what an answer gave for it, and what was expected
ALIKE = 1e-4


def systematic_mistake(
    cases: Sequence[Case], actual: Sequence[Outcome], expected: Sequence[Outcome], names: Sequence[str] = ()
) -> str | None:
    """Return in words what all wrong values of an answer have in common; None if nothing is, or if it raised.

    If it returns a tuple, `names` are those of its values.
    """
    triples = list(zip(cases, actual, expected, strict=False))
    failed = [case for case, mine, theirs in triples if mismatch(mine, theirs, ALIKE)]
    if failed and all(is_elsewhere(case.args) for case in failed):
        return "it is right on the CPU, but makes a new tensor without device=…"
    if failed and is_elsewhere(failed[0].args):  # the case that is shown; others fail, too
        return "a new tensor without device=…; a later case is wrong on the CPU, too"
    if any(mine.value is None for case, mine, _ in triples if not is_elsewhere(case.args)):
        return None
    pairs = ((mine.value, theirs.value) for _, mine, theirs in triples)
    leaves = [leaf for pair in pairs if all(pair) for leaf in _leaves("", *pair, names)]  # type: ignore[arg-type]
    wrong = [leaf for leaf in leaves if difference(leaf[1], leaf[2], ALIKE)]
    if not wrong:
        return None
    parts = sorted({name for name, *_ in wrong})
    which = f"{parts[0]}: " if len(parts) == 1 and parts[0] else ""
    found = next(filter(None, (words(wrong) for words in (_no_gradient, _dtype, _factor, _order))), None)
    return f"{which}{found}" if found else None


def _leaves(name: str, mine: Plain, theirs: Plain, names: Sequence[str] = ()) -> Iterator[Leaf]:
    """Yield the parts of two values of the same form; two of different forms are one part."""
    if mine[0] == theirs[0] == "dict" and mine[1].keys() == theirs[1].keys():
        for key in theirs[1]:
            yield from _leaves(key, mine[1][key], theirs[1][key])
    elif mine[0] == theirs[0] == "list" and len(mine[1]) == len(theirs[1]) and name == "":
        parts = names_of_parts(len(theirs[1]), names=names)
        for part, first, second in zip(parts, mine[1], theirs[1], strict=True):
            yield from _leaves(part, first, second)
    else:
        yield name, mine, theirs


def _no_gradient(wrong: Sequence[Leaf]) -> str | None:
    is_that = all(mine == ("str", NONE) for _, mine, _ in wrong)
    return "the values are right, but no gradient gets through" if is_that else None


def _dtype(wrong: Sequence[Leaf]) -> str | None:
    arrays = all(mine[0] == theirs[0] and mine[0] in ("tensor", "array") for _, mine, theirs in wrong)
    if not arrays or any(mine[1].dtype == theirs[1].dtype for _, mine, theirs in wrong):
        return None
    kinds = {mine[1].dtype for _, mine, _ in wrong}
    if len(kinds) > 1 or not _all(wrong, lambda mine, theirs: torch.allclose(mine, theirs, ALIKE, ALIKE)):
        return None
    return f"the numbers are right, but their dtype is always {str(kinds.pop()).removeprefix('torch.')}"


def _factor(wrong: Sequence[Leaf]) -> str | None:
    numbers = [pair for leaf in wrong if (pair := _numbers(leaf))]
    if len(numbers) < len(wrong) or len({float(theirs.abs().max()) for _, theirs in numbers if theirs.numel()}) < 2:
        return None
    mine, theirs = (torch.cat([pair[side].flatten() for pair in numbers]) for side in (0, 1))
    if not bool((mine.isfinite() & theirs.isfinite()).all()) or not bool(theirs.abs().max() > 1e-6):
        return None
    factor = float((mine @ theirs) / (theirs @ theirs))
    if abs(factor) < 1e-6 or not torch.allclose(mine, factor * theirs, 1e-3, 1e-4 * float(mine.abs().max())):
        return None
    if abs(factor + 1) < 1e-3:
        return "the sign is wrong"
    return f"always {factor:.4g} times what it should be" if abs(factor - 1) > 0.02 else None


def _order(wrong: Sequence[Leaf]) -> str | None:
    def same_numbers(mine: Tensor, theirs: Tensor) -> bool:
        is_moved = not torch.allclose(mine, theirs, ALIKE, ALIKE)  # else only the dtype differs
        return is_moved and torch.allclose(mine.flatten().sort()[0], theirs.flatten().sort()[0], ALIKE, ALIKE)

    is_that = _all(wrong, lambda mine, theirs: mine.numel() > 1 and same_numbers(mine, theirs))
    return "the right numbers in another order" if is_that else None


def _all(wrong: Sequence[Leaf], test: Callable[[Tensor, Tensor], bool]) -> bool:
    """Return whether all wrong parts are numbers of the right shape that pass a test."""
    pairs = [_numbers(leaf) for leaf in wrong]
    return all(pair is not None and test(*pair) for pair in pairs)


def _numbers(leaf: Leaf) -> tuple[Tensor, Tensor] | None:
    _, mine, theirs = leaf
    if mine[0] != theirs[0] or mine[0] not in ("tensor", "array", "number"):
        return None
    first, second = (torch.as_tensor(value[1]).double() for value in (mine, theirs))
    return (first, second) if first.shape == second.shape else None
