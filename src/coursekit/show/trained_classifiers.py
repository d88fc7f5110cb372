"""How classifiers learn: those of whole backbones, and box heads on different patches."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, GREEN, ORANGE, VERMILION
from coursekit.show.figures import figure, plain_text

STYLES = ((BLUE, "solid", ""), (ORANGE, "dashed", "//"), (VERMILION, "dotted", ".."))
WINDOW = 8  # steps of the running mean
LOOKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"))
Curve = Sequence[tuple[int, float]]


class TrainedHead(Protocol):
    """A trained head.

    Attributes:
        losses: the loss of each step.
        accuracy: the share of new objects that it names correctly.
    """

    @property
    def losses(self) -> list[float]: ...  # noqa: D102
    @property
    def accuracy(self) -> float: ...  # noqa: D102


def heads(trained: Mapping[str, TrainedHead]) -> None:
    """Show the losses of heads in training, and the share of new objects that each names correctly."""
    figure(*heads_picture(trained))


def heads_picture(trained: Mapping[str, TrainedHead]) -> tuple[Figure, str]:
    """Draw what `heads` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(9.2, 3.4), layout="constrained")
    left, right = fig.subplots(1, 2)
    window = min([WINDOW, *(len(head.losses) for head in trained.values())])
    for position, ((name, head), (color, style, hatch)) in enumerate(zip(trained.items(), STYLES, strict=False)):
        smooth = torch.tensor(head.losses).unfold(0, window, 1).mean(1)
        steps = torch.arange(len(smooth)) + window  # the last step of each window
        left.plot(steps, smooth, color=color, linestyle=style, linewidth=2, label=name)
        look: Any = {"color": color, "hatch": hatch, "edgecolor": "white"}
        right.bar_label(right.bar(position, head.accuracy, **look), [f"{head.accuracy:.0%}"])
    left.set(xlabel="step", ylabel=f"loss, mean of {window} steps", title="objects it was trained on", ylim=(0, None))
    left.legend(fontsize=8)
    right.set(ylabel="named correctly", title="objects it has not seen", ylim=(0, 1))
    right.set_xticks(range(len(trained)), labels=list(trained))
    words = "; ".join(
        f"{name}: loss {sum(head.losses[-window:]) / window:.2f} at the end, {head.accuracy:.0%} of new objects named "
        "correctly"
        for name, head in trained.items()
    )
    return fig, f"Losses of {len(trained)} heads, and what they name correctly. {words}."


def accuracies(curves: Mapping[str, Curve], levels: Mapping[str, float], guessing: float, xlabel: str) -> None:
    """Show accuracy by step, and levels as dashed lines.

    Args:
        curves: name → (step, share).
        levels: the same names → a share to compare with.
        guessing: the share that guessing gets right.
        xlabel: what a step is.
    """
    figure(*accuracies_picture(curves, levels, guessing, xlabel))


def accuracies_picture(
    curves: Mapping[str, Curve], levels: Mapping[str, float], guessing: float, xlabel: str
) -> tuple[Figure, str]:
    """Draw what `accuracies` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 3.4), layout="constrained")
    axes = fig.subplots()
    for (name, curve), (color, marker) in zip(curves.items(), LOOKS, strict=False):
        axes.plot(*zip(*curve, strict=True), color=color, marker=marker, label=plain_text(f"{name}, all trained"))
        axes.axhline(levels[name], color=color, linestyle="--", label=plain_text(f"{name}, frozen"))
    axes.axhline(guessing, color="black", linestyle=":", label="guessing")
    axes.set(xlim=(0, None), ylim=(0, 1.02), xlabel=xlabel, ylabel="share of unseen objects right")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    words = [
        f"{name}: {curve[-1][1]:.0%} if all is trained, {levels[name]:.0%} if frozen" for name, curve in curves.items()
    ]
    return fig, f"Accuracy by step. {'; '.join(words)}; guessing {guessing:.0%}."
