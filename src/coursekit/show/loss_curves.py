"""The losses of a run: as a figure, live in a notebook, and those of several runs in one picture."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from coursekit.show.figures import as_html, figure, log_ticks, plain_text
from coursekit.training.hooks import Hook
from coursekit.training.run_state import Run, Step

SECONDS = 2.0  # between pictures; drawing one takes a tenth of that
_COLORS = [BLUE, VERMILION, GREEN, ORANGE, PURPLE]
_STYLES = ["solid", "dashed", "dashdot", "dotted", (0, (5, 1, 1, 1, 1, 1))]
_RUN_STYLES = [
    (BLUE, "solid"),
    (VERMILION, "dashed"),
    (GREEN, "dashdot"),
    (ORANGE, "dotted"),
    (PURPLE, (0, (5, 1, 1, 1))),
]


def loss_curves(steps: Sequence[int], losses: Mapping[str, Sequence[float]], lr: Sequence[float]) -> Figure:
    """Plot the losses of a run, smoothed, and its learning rate."""
    fig = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[2, 1])
    for (name, values), color, style in zip(losses.items(), _COLORS, _STYLES, strict=False):
        left.plot(steps, _smooth(values), color=color, linestyle=style, label=plain_text(name))
    left.set(xlabel="optimizer step", ylabel="loss, running mean", title="losses")
    left.legend(fontsize=8)
    right.plot(steps, lr, color=BLUE)
    right.set(xlabel="optimizer step", ylabel="learning rate", title="warm-up, then cosine")
    return fig


def run_losses(history: Sequence[Step]) -> None:
    """Show the losses and the learning rate of a run, and print where each loss began and ended.

    Args:
        history: what `train` returns.
    """
    figure(*run_losses_picture(history))
    for name, values in _by_name(history).items():
        print(f"{name:16} {values[0]:.2f} at the first step, {values[-1]:.2f} at the last")


def run_losses_picture(history: Sequence[Step]) -> tuple[Figure, str]:
    """Draw what `run_losses` shows. Return the figure and its alt text."""
    losses = _by_name(history)
    fig = loss_curves([step.step for step in history], losses, [step.lr for step in history])
    total = sum(values[-1] for values in losses.values())
    return fig, f"Curves of {len(losses)} losses over {len(history)} steps; their sum is {total:.2f} at the end."


class LivePlot(Hook):
    """Hook that redraws the losses in place during a training run: `train(..., hooks=[show.LivePlot()])`.

    It does nothing outside a notebook.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds, self.drawn, self.handle = seconds, 0.0, None

    def before_run(self, run: Run) -> None:
        """Reserve the place for the picture."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            handle: Any = display({"text/plain": "The losses appear here."}, raw=True, display_id=True)
            self.handle = handle

    def after_step(self, run: Run) -> None:
        """Redraw, unless the last picture is too recent."""
        if self.handle is not None and time.monotonic() - self.drawn >= self.seconds:
            self._draw(run)
            self.drawn = time.monotonic()

    def after_run(self, run: Run) -> None:
        """Draw the final state."""
        if self.handle is not None and run.history:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        fig, alt = run_losses_picture(run.history)
        handle: Any = self.handle
        handle.update({"text/html": as_html(fig, alt), "text/plain": alt}, raw=True)


def _by_name(history: Sequence[Step]) -> dict[str, list[float]]:
    return {name: [step.losses[name] for step in history] for name in history[0].losses}


def _smooth(values: Sequence[float], window: int = 9) -> list[float]:
    return [float(np.mean(values[max(0, i - window + 1) : i + 1])) for i in range(len(values))]


def loss_runs(histories: Mapping[str, Sequence[float]]) -> None:
    """Show the losses of several runs over their steps, on a logarithmic axis.

    Args:
        histories: the losses of each run, by name; at most five runs.
    """
    figure(*loss_runs_picture(histories))


def at_the_end(history: Sequence[float]) -> float:
    """Return the mean loss of the last quarter of a run's steps: a single step says little."""
    last = history[-max(1, len(history) // 4) :]
    return sum(last) / len(last)


def loss_runs_picture(histories: Mapping[str, Sequence[float]]) -> tuple[Figure, str]:
    """Draw what `loss_runs` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 3.4), layout="constrained")
    axes = fig.subplots()
    for (name, history), (color, style) in zip(histories.items(), _RUN_STYLES, strict=False):
        axes.plot(history, color=color, linestyle=style, marker=".", label=plain_text(name))
    axes.set(yscale="log", xlabel="optimizer step", ylabel="sum of the losses, log scale")
    log_ticks(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)
    words = [f"{name}: at most {max(losses):.3g}, {at_the_end(losses):.3g}" for name, losses in histories.items()]
    return fig, f"Curves of the losses: the highest, and the mean of the last quarter. {'; '.join(words)}."
