"""What each exercise is checked against: a reference, and inputs that tell right answers from wrong ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from coursekit.detector import xywh_to_xyxy


@dataclass(frozen=True)
class Exercise:
    """An exercise's reference and the arguments to call both with, simplest first."""

    reference: Callable[..., Any]
    cases: Callable[[torch.Generator], Iterator[tuple[Any, ...]]]


def _xywh_cases(generator: torch.Generator) -> Iterator[tuple[Any, ...]]:
    yield (torch.tensor([[10.0, 20.0, 30.0, 40.0]]),)
    yield (torch.tensor([[5, 6, 0, 1], [1, 2, 3, 4]]),)  # a box of no width, whole numbers
    for shape in [(7, 4), (0, 4), (4,), (2, 3, 4)]:
        yield (100 * torch.rand(shape, generator=generator),)
    yield (100 * torch.rand(5, 4, generator=generator, dtype=torch.float64),)


EXERCISES: dict[str, Exercise] = {"xywh_to_xyxy": Exercise(xywh_to_xyxy, _xywh_cases)}
