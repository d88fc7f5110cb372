"""How long functions take, by the size of their input."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, GREEN, VERMILION
from coursekit.show.figures import figure, log_ticks

STYLES = ((BLUE, "o-"), (VERMILION, "s--"), (GREEN, "^:"))


def times(counts: Sequence[int], milliseconds: Mapping[str, Sequence[float]], what: str = "boxes") -> None:
    """Show the milliseconds of each function over the size of its input; both axes are logarithmic.

    Args:
        counts: sizes of the input.
        milliseconds: name of a function → its time for each size.
        what: what is counted.
    """
    fig = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = fig.subplots()
    for (name, values), (color, style) in zip(milliseconds.items(), STYLES, strict=False):
        axes.plot(counts, values, style, color=color, label=name)
    axes.set(xscale="log", yscale="log", xlabel=what, ylabel="milliseconds")
    axes.set_xticks(counts, labels=[f"{count:,}" for count in counts])
    log_ticks(axes.yaxis)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    ends = "; ".join(f"{name}: {values[0]:.1f} to {values[-1]:.1f} ms" for name, values in milliseconds.items())
    figure(fig, f"Time over the number of {what}, from {counts[0]:,} to {counts[-1]:,}. {ends}.")
