"""How many objects have a good anchor, and how many anchors are positive."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from coursekit.show.colors import BLUE, ORANGE, SKY, VERMILION
from coursekit.show.figures import figure


def overlap_by_size(sizes: Tensor, best: Tensor, threshold: float = 0.7) -> None:
    """Show the IoU of each object with its best anchor over the object's size.

    Args:
        sizes: (objects,) √area in pixels.
        best: (objects,) IoU.
        threshold: where to draw a line.
    """
    fig = Figure(figsize=(7.4, 3.3), layout="constrained")
    axes = fig.subplots()
    axes.plot(sizes.tolist(), best.tolist(), "o", color=BLUE, markersize=3, alpha=0.5)
    axes.axhline(threshold, color=VERMILION, linestyle="dashed", label=f"IoU {threshold:g}")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="size of the object: √area in pixels", ylabel="IoU of its best anchor", ylim=(0, 1.02))
    ticks = [tick for tick in (8, 16, 32, 64, 128, 256, 512) if sizes.min() / 2 < tick < 2 * sizes.max()]
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axes.legend(loc="lower right", fontsize=8)
    share = (best >= threshold).float().mean()
    figure(fig, f"The best IoU of each of {len(best)} objects over its size; {share:.0%} reach {threshold:g}.")


def positive_shares(shares: Mapping[str, float]) -> None:
    """Show the share of positive anchors for each way of choosing the anchors that count, on a logarithmic axis."""
    fig = Figure(figsize=(7.4, 0.8 + 0.5 * len(shares)), layout="constrained")
    axes = fig.subplots()
    colors = [(ORANGE, SKY, BLUE)[number % 3] for number in range(len(shares))]
    bars = axes.barh(list(shares), list(shares.values()), color=colors)
    axes.bar_label(bars, [f" {share:.2%}" for share in shares.values()])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(xlim=(1e-4, 1), xlabel="share of positives among the anchors that count (log)")
    axes.axvline(0.5, color="black", linestyle="dotted", label="half, the most allowed")
    axes.legend(loc="upper right", fontsize=8)
    figure(fig, "Share of positives. " + ", ".join(f"{name}: {share:.2%}" for name, share in shares.items()) + ".")
