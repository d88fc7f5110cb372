"""Which anchors match an object, how many objects have a good anchor, and how many anchors are positive."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import match_anchors
from coursekit.detector.boxes import Part
from coursekit.show.boxes import on_image, outline
from coursekit.show.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from coursekit.show.explore import explore
from coursekit.show.figures import figure


def explore_anchors(
    image: Tensor, boxes: Tensor, anchors: Tensor, *, match_anchors: Part = match_anchors, most: int = 60
) -> Any:
    """Show which anchors match under two sliders: the IoU from which an anchor is an object, and below it background.

    Args:
        image: (3, H, W) uint8.
        boxes: (G, 4) xyxy, the ground truth.
        anchors: (A, 4) xyxy.
        match_anchors: the function to use, such as your own.
        most: draw at most this many of the ignored anchors, chosen at random. The title says how many there are.
    """

    def draw(fg_iou_thresh: float, bg_iou_thresh: float) -> tuple[Figure, str]:
        low = min(bg_iou_thresh, fg_iou_thresh)
        return anchor_picture(image, boxes, anchors, fg_iou_thresh, low, match_anchors=match_anchors, most=most)

    return explore(draw, fg_iou_thresh=(0.3, 0.95, 0.05, 0.7), bg_iou_thresh=(0.0, 0.7, 0.05, 0.3))


def anchor_picture(
    image: Tensor,
    boxes: Tensor,
    anchors: Tensor,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    *,
    match_anchors: Part = match_anchors,
    most: int = 60,
) -> tuple[Figure, str]:
    """Draw the ground truth (thick), the anchors that match it (solid) and the ignored ones (dotted).

    Arguments as in `explore_anchors`.

    Returns:
        The figure and its alt text.
    """
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh)
    positive, ignored = anchors[matches >= 0], _shuffled(anchors)[_shuffled(matches) == -2]
    fig, axes = on_image(image)
    for drawn, color, style, width in (
        (ignored[:most], ORANGE, "dotted", 0.8),
        (positive, BLUE, "solid", 1.2),
        (boxes, GREEN, "solid", 2.6),
    ):
        for box in drawn.tolist():
            outline(axes, box, color, style, "", width)
    background = len(anchors) - len(positive) - len(ignored)
    some = f" ({most} of them drawn)" if len(ignored) > most else ""
    words = f"{len(boxes)} objects: {len(positive)} anchors match, {len(ignored)} are ignored{some}"
    words += f", {background} are background"
    axes.set_title(f"{words}\nobjects thick, matches solid, ignored dotted", fontsize=9)
    without = len(boxes) - len(set(matches[matches >= 0].tolist()))
    return fig, f"{words}; {without} objects have no anchor."


def _shuffled(rows: Tensor) -> Tensor:
    """Return the rows in a random order, always the same: so as a slider moves, boxes that stay ignored stay drawn."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]


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
