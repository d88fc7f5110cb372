"""Guessed and measured hours side by side."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE
from coursekit.show.figures import figure, plain_text


def cost_bars(hours: Mapping[str, float]) -> None:
    """Show hours as bars: those of a guess are only hatched.

    Args:
        hours: by name; a name that contains "guess" is one.
    """
    figure(*cost_bars_picture(hours))


def cost_bars_picture(hours: Mapping[str, float]) -> tuple[Figure, str]:
    """Draw what `cost_bars` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 0.9 + 0.35 * len(hours)), layout="constrained")
    axes = fig.subplots()
    for name, value in hours.items():
        is_guess = "guess" in name
        axes.barh(
            plain_text(name), value, color="white" if is_guess else BLUE, edgecolor=BLUE, hatch="//" if is_guess else ""
        )
        axes.annotate(f"{value:,.1f}", (value, plain_text(name)), (4, 0), textcoords="offset points", va="center")
    axes.set(xlabel="hours for one pass over COCO on this machine", xlim=(0, 1.15 * max(hours.values())))
    axes.invert_yaxis()
    return fig, "Bars of hours. " + ", ".join(f"{name}: {value:,.1f}" for name, value in hours.items())
