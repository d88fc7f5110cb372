"""Loaders compared with what training needs."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, VERMILION
from coursekit.show.figures import figure, log_ticks, plain_text


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
