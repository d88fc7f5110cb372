"""AP50 and AP of several detectors, or of one detector with several faults."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE, ORANGE
from coursekit.show.figures import figure, plain_text

BARS = (("AP50", 0.2, BLUE, ""), ("AP", -0.2, ORANGE, "//"))


def score_bars(scores: Mapping[str, Mapping[str, float]], title: str = "") -> None:
    """Show AP50 and AP as bars.

    Args:
        scores: name → COCO's numbers, of which AP50 and AP are drawn; −1, which means "nothing to score", counts as 0.
        title: above the bars.
    """
    figure(*score_bars_picture(scores, title))


def score_bars_picture(scores: Mapping[str, Mapping[str, float]], title: str = "") -> tuple[Figure, str]:
    """Draw what `score_bars` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(7.4, 0.8 + 0.5 * len(scores)), layout="constrained")
    axes = fig.subplots()
    for metric, shift, color, hatch in BARS:
        values = [max(0, numbers[metric]) for numbers in scores.values()]
        places = [shift - row for row in range(len(scores))]
        look: Any = {"color": color, "hatch": hatch, "edgecolor": "white", "label": metric}
        bars = axes.barh(places, values, 0.38, **look)
        axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    axes.set_yticks([-row for row in range(len(scores))], labels=[plain_text(name) for name in scores])
    axes.set(xlim=(0, 1.12), xlabel="score", title=plain_text(title))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8)
    words = [f"{name}: AP50 {numbers['AP50']:.2f}, AP {numbers['AP']:.2f}" for name, numbers in scores.items()]
    return fig, f"Bars of AP50 and AP. {'; '.join(words)}."
