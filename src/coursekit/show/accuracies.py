"""How several classifiers learn, compared with others that don't, and with guessing."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, GREEN, VERMILION
from coursekit.show.figures import figure, plain_text

LOOKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"))
Curve = Sequence[tuple[int, float]]


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
