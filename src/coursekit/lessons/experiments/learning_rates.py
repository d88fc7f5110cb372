"""Short trainings that differ in their learning rate, each from the same start."""

from collections.abc import Callable, Mapping
from typing import Any

from tqdm.auto import tqdm

from coursekit.lessons.notebooks.short_form import short_form
from coursekit.show.loss_curves import at_the_end


def compare_runs(
    train: Callable[..., list[float]], runs: Mapping[str, tuple[Any, ...]], guesses: Mapping[str, float]
) -> dict[str, list[float]]:
    """Train once for each name, with a progress bar, and print a table.

    Args:
        train: takes the arguments of a run, and returns the sum of the losses of each step.
        runs: arguments by name.
        guesses: the highest loss that the reader expects of a run, by name.

    Returns:
        The losses of each run by name. A run that a FloatingPointError stopped is left out; the table says why.
    """
    histories: dict[str, list[float]] = {}
    print(f"{'':16} {'first':>8} {'highest':>10} {'your guess':>11} {'last quarter':>13}")
    for name, arguments in tqdm(runs.items(), "runs", leave=False):
        try:
            histories[name] = history = train(*arguments)
        except FloatingPointError as error:
            print(f"{name:16} stopped: {error}")
            continue
        guess = f"{guesses[name]:.2f}" if name in guesses else ""
        print(f"{name:16} {history[0]:8.2f} {max(history):10.2f} {guess:>11} {at_the_end(history):13.2f}")
    print("(The last column is the mean loss of the last quarter of the steps.)")
    print(short_form(), end="")
    return histories
