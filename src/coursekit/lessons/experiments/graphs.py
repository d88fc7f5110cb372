"""Which functions can be part of an exported graph?"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.lessons.fixed_shapes import NeedsNumbersError, in_graph

REFUSED = "refused: it needs to know the numbers"


class _Calls(nn.Module):
    """A module that calls a function: what torch exports."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


def try_each(
    functions: Mapping[str, Callable[..., Any]], inputs: tuple[Tensor, ...], guesses: Mapping[str, bool] | None = None
) -> None:
    """Try to make a graph of each function, and print how many operations it has, or that torch refuses.

    Args:
        functions: name → a function of tensors.
        inputs: tensors of the shapes that the graph will take.
        guesses: for some names, whether the reader expects a graph.
    """
    for name, function in functions.items():
        count = operations(function, inputs)
        what = REFUSED if count is None else f"a graph of {count} operation{'' if count == 1 else 's'}"
        guess = {True: "a graph", False: "refused", None: ""}[(guesses or {}).get(name)]
        print(f"{name:20} {what}" + (f"; you said {guess}" if guess else ""))


def print_operations(
    nms: Callable[..., Tensor], inputs: tuple[Tensor, Tensor], guesses: Mapping[int, int], threshold: float = 0.5
) -> None:
    """Print how many operations the graph of a function such as `nms_padded` has, and the reader's guess.

    Args:
        nms: the function.
        inputs: boxes and scores.
        guesses: for each length of the result, how many operations the reader expects.
        threshold: see `nms_padded`.
    """
    found = [
        operations(partial(nms, threshold=threshold, count=count), inputs)
        for count in tqdm(guesses, "making graphs", unit="graph")
    ]
    for (count, guess), number in zip(guesses.items(), found, strict=True):
        what = REFUSED if number is None else f"{number} operations"
        print(f"{count} places: {what}; you said {guess}")


def operations(function: Callable[..., Any], inputs: tuple[Tensor, ...]) -> int | None:
    """Return how many operations the graph of a function has; None if it looks at numbers, so that there is none."""
    try:
        in_graph(function, *inputs)
    except NeedsNumbersError:
        return None
    program = torch.export.export(_Calls(function), inputs)
    return sum(node.op == "call_function" for node in program.graph.nodes)
