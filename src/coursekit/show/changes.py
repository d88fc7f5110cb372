"""Changes of a score with their intervals: several comparisons, or pairs of runs with the same seeds."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from coursekit.evaluation.compare import Comparison
from coursekit.show.colors import BLUE, ORANGE, VERMILION
from coursekit.show.figures import figure, plain_text

LOOKS = (("ap", "AP", 0.14, ORANGE, "s"), ("ap50", "AP50", -0.14, BLUE, "o"))


def changes(comparisons: Mapping[str, Comparison]) -> None:
    """Show how much AP and AP50 change in each comparison, with 95 % intervals."""
    figure(*changes_picture(comparisons))


def changes_picture(comparisons: Mapping[str, Comparison]) -> tuple[Figure, str]:
    """Draw what `changes` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(8, 0.55 * len(comparisons) + 1.2), layout="constrained")
    axes = fig.subplots()
    for key, label, shift, color, marker in LOOKS:
        for row, comparison in enumerate(comparisons.values()):
            change = getattr(comparison, key)
            axes.plot([change.low, change.high], [-row + shift] * 2, color=color, linewidth=2)
            axes.plot(change.change, -row + shift, marker, color=color, label=None if row else label)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks([-row for row in range(len(comparisons))], [plain_text(name) for name in comparisons])
    axes.set(xlabel="change of the score, with its 95 % interval", ylim=(0.5 - len(comparisons), 0.5))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    words = "; ".join(f"{name}: AP {each.ap.change:+.3f}, {_sign(each)}" for name, each in comparisons.items())
    return fig, f"Changes with intervals. {words}."


def paired_changes(
    baselines: Sequence[float], changed: Sequence[float], interval: tuple[float, float], expected: float, what: str
) -> None:
    """Show pairs of runs: on the left the scores, joined by seed; on the right the changes and their mean's interval.

    Args:
        baselines, changed: AP without and with the change; the same place is the same seed.
        interval: of the mean change.
        expected: the change that was expected.
        what: the change, in words.
    """
    figure(*paired_changes_picture(baselines, changed, interval, expected, what))


def paired_changes_picture(
    baselines: Sequence[float], changed: Sequence[float], interval: tuple[float, float], expected: float, what: str
) -> tuple[Figure, str]:
    """Draw what `paired_changes` shows. Return the figure and its alt text."""
    differences = [after - before for before, after in zip(baselines, changed, strict=True)]
    mean = sum(differences) / len(differences)
    fig = Figure(figsize=(8.6, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[1, 1.4])
    for before, after in zip(baselines, changed, strict=True):
        left.plot([0, 1], [before, after], "o-", color=BLUE)
    left.set_xticks([0, 1], ["baseline", "changed"])
    left.set(xlim=(-0.3, 1.3), ylabel="AP", title="a line for each seed")
    right.plot(differences, range(len(differences)), "o", color=BLUE, label="a pair")
    right.plot(interval, [-1, -1], color=ORANGE, linewidth=3, label="mean, 95 % interval")
    right.plot(mean, -1, "s", color=ORANGE)
    right.axvline(0, color="black", linewidth=0.8)
    right.axvline(expected, color=VERMILION, linestyle="dashed", label="expected")
    right.set_yticks([*range(len(differences)), -1], [*(f"seed {n}" for n in range(len(differences))), "mean"])
    right.set(xlabel=plain_text(f"change of AP: {what}"), ylim=(-1.6, len(differences) - 0.4))
    right.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=3, frameon=False)
    words = ", ".join(f"{difference:+.3f}" for difference in differences)
    alt = f"Change of AP for each pair of runs: {words}; mean {mean:+.3f}, between {interval[0]:+.3f} and "
    return fig, f"{alt}{interval[1]:+.3f}; expected {expected:+.3f}."


def _sign(comparison: Comparison) -> str:
    low, high = comparison.ap.low, comparison.ap.high
    return "the interval holds 0" if low <= 0 <= high else f"the interval is {'above' if low > 0 else 'below'} 0"
