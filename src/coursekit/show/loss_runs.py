"""The losses of several runs in one picture."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from coursekit.show.figures import figure, log_ticks, plain_text

_STYLES = [(BLUE, "solid"), (VERMILION, "dashed"), (GREEN, "dashdot"), (ORANGE, "dotted"), (PURPLE, (0, (5, 1, 1, 1)))]


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
    for (name, history), (color, style) in zip(histories.items(), _STYLES, strict=False):
        axes.plot(history, color=color, linestyle=style, marker=".", label=plain_text(name))
    axes.set(yscale="log", xlabel="optimizer step", ylabel="sum of the losses, log scale")
    log_ticks(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)
    words = [f"{name}: at most {max(losses):.3g}, {at_the_end(losses):.3g}" for name, losses in histories.items()]
    return fig, f"Curves of the losses: the highest, and the mean of the last quarter. {'; '.join(words)}."
