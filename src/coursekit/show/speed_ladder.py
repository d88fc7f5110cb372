"""A ladder of changes to a training step: how fast each is, and how much memory it takes."""

from collections.abc import Sequence
from typing import Protocol

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from coursekit.show.colors import BLUE, ORANGE
from coursekit.show.figures import figure, plain_text


class Rung(Protocol):
    """What is drawn of a rung."""

    @property
    def name(self) -> str:
        """Return what changes."""

    @property
    def speed(self) -> float:
        """Return the images a second."""

    @property
    def memory(self) -> float:
        """Return the MiB at the peak of a step."""

    @property
    def kept(self) -> bool:
        """Return whether the next rungs build on it."""


def ladder(rungs: Sequence[Rung]) -> None:
    """Show the speed and the memory of each rung as bars; those of rungs that were left out are hatched."""
    figure(*ladder_picture(rungs))


def ladder_picture(rungs: Sequence[Rung]) -> tuple[Figure, str]:
    """Draw what `ladder` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(8.6, 0.9 + 0.36 * len(rungs)), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    names = [plain_text(rung.name) for rung in rungs]
    hatches = ["" if rung.kept else "//" for rung in rungs]
    speeds, peaks = [rung.speed for rung in rungs], [rung.memory for rung in rungs]
    for axes, values, color, form in ((left, speeds, BLUE, "{:.1f}"), (right, peaks, ORANGE, "{:,.0f}")):
        bars = axes.barh(names, values, color=color, hatch=hatches, edgecolor="white")
        axes.bar_label(bars, [form.format(value) for value in values], padding=3)
        axes.set(xlim=(0, 1.2 * max(values)))
    left.set(xlabel="images a second")
    right.set(xlabel="MiB at the peak of a step")
    left.invert_yaxis()
    if any(hatches):
        left_out = Patch(facecolor="0.6", hatch="//", edgecolor="white", label="left out")
        fig.legend(handles=[left_out], loc="outside upper center", frameon=False, fontsize=8)
    words = [f"{rung.name} {rung.speed:.1f} images/s, {rung.memory:,.0f} MiB" for rung in rungs]
    return fig, "Bars for each rung, on top of those kept before it. " + "; ".join(words)
