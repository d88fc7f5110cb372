"""Where the time of a training step goes."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, ORANGE, VERMILION
from coursekit.show.figures import figure, plain_text

_STYLES = [(VERMILION, "//"), (BLUE, ""), (ORANGE, "xx")]


def step_times(times: Mapping[str, Mapping[str, float]]) -> None:
    """Show the seconds of a step by phase as a bar, for each source of batches.

    Args:
        times: for each source, seconds by phase; all have the same phases, at most three.
    """
    figure(*step_times_picture(times))


def step_times_picture(times: Mapping[str, Mapping[str, float]]) -> tuple[Figure, str]:
    """Draw what `step_times` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 1.0 + 0.5 * len(times)), layout="constrained")
    axes = fig.subplots()
    phases = list(next(iter(times.values())))
    starts = [0.0] * len(times)
    names = [plain_text(name) for name in times]
    for phase, (color, hatch) in zip(phases, _STYLES, strict=False):
        widths = [seconds[phase] for seconds in times.values()]
        axes.barh(names, widths, 0.6, starts, color=color, hatch=hatch, edgecolor="white", label=phase)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    axes.set(xlabel="seconds of a step")
    axes.invert_yaxis()
    axes.legend(ncols=len(phases), fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return fig, "Bars of seconds by phase. " + "; ".join(map(_words, times, times.values()))


def _words(name: str, seconds: Mapping[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{phase} {value:.2f}" for phase, value in seconds.items())
