"""Times and speeds in pictures: of functions, of the phases of a step, of loaders, and of whole trainings."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, GREEN, ORANGE, VERMILION
from coursekit.show.figures import figure, log_ticks, plain_text

_STYLES = [(VERMILION, "//"), (BLUE, ""), (ORANGE, "xx")]
STYLES = ((BLUE, "o-"), (VERMILION, "s--"), (GREEN, "^:"))


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


def loading_rates(rates: Mapping[str, float], needed: float) -> None:
    """Show how many samples a second each loader gives, and how many training needs.

    Args:
        rates: loader → samples per second.
        needed: samples per second that training consumes.
    """
    figure(*loading_rates_picture(rates, needed))


def loading_rates_picture(rates: Mapping[str, float], needed: float) -> tuple[Figure, str]:
    """Draw what `loading_rates` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(9, 0.45 * len(rates) + 1.1), layout="constrained")
    axes = fig.subplots()
    bars = axes.barh([plain_text(name) for name in rates], list(rates.values()), color=BLUE)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates.values()], padding=3, fontsize=8)
    axes.axvline(needed, color=VERMILION, linestyle="dashed", label=f"training needs {needed:.1f}")
    low, high = min([needed, *rates.values()]), max([needed, *rates.values()])
    axes.set(xscale="log", xlim=(low / 2, 2 * high), xlabel="samples per second (logarithmic)")
    log_ticks(axes.xaxis)
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), fontsize=8, frameon=False)
    words = "; ".join(f"{name}: {rate:,.0f}" for name, rate in rates.items())
    return fig, f"Samples per second. {words}. Training needs {needed:.1f}."


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


def image_times(milliseconds: Mapping[str, float]) -> None:
    """Show how long each way to run a detector takes for an image.

    Args:
        milliseconds: by name, such as "PyTorch, 1 thread"; what is before the comma decides the color and the hatching.
    """
    figure(*image_times_picture(milliseconds))


def image_times_picture(milliseconds: Mapping[str, float]) -> tuple[Figure, str]:
    """Draw what `image_times` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 0.8 + 0.35 * len(milliseconds)), layout="constrained")
    axes = fig.subplots()
    kinds = list(dict.fromkeys(name.partition(",")[0] for name in milliseconds))
    for name, value in milliseconds.items():
        color, hatch = _STYLES[kinds.index(name.partition(",")[0]) % len(_STYLES)]
        axes.barh(plain_text(name), value, 0.65, color=color, hatch=hatch, edgecolor="white")
        axes.annotate(f"{value:.0f} ms", (value, plain_text(name)), (4, 0), textcoords="offset points", va="center")
    axes.set(xlabel="milliseconds for an image", xlim=(0, 1.15 * max(milliseconds.values())))
    axes.invert_yaxis()
    return fig, "Bars of milliseconds for an image. " + ", ".join(f"{n}: {ms:.0f}" for n, ms in milliseconds.items())
