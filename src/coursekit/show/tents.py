"""The weights of RoIAlign along one axis: a tent for each sampling point."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import axis_weights
from coursekit.detector.boxes import Part
from coursekit.show.colors import VERMILION
from coursekit.show.explore import explore

BINS = 7


def explore_axis_weights(axis_weights: Part = axis_weights, size: int = 40) -> Any:
    """Show the weights of one box under three sliders: its left edge, its width, and the sampling points in a bin.

    Args:
        axis_weights: the function to use, such as your own.
        size: cells of the feature map along the axis.
    """

    def draw(left: float, width: float, sampling_ratio: int) -> tuple[Figure, str]:
        return axis_weights_picture(axis_weights, size, left, width, sampling_ratio)

    sliders: Any = {"left": (-4.0, float(size), 0.5, 2.0), "width": (0.0, float(size), 0.5, 34.0)}
    return explore(draw, **sliders, sampling_ratio=(1, 4, 1, 2))


def axis_weights_picture(
    axis_weights: Part, size: int, left: float, width: float, sampling_ratio: int
) -> tuple[Figure, str]:
    """Draw the weights of seven bins over the cells of a map: the darker, the larger.

    Args:
        axis_weights: the function to use.
        size: cells of the map.
        left: left edge of the box, in cells.
        width: width of the box, in cells.
        sampling_ratio: sampling points in a bin.

    Returns:
        The figure and its alt text.
    """
    right = left + width
    weights = axis_weights(torch.tensor([left]), torch.tensor([right]), size, BINS, sampling_ratio)[0]
    fig = Figure(figsize=(8.6, 2.9), layout="constrained")
    axes = fig.subplots()
    cells = axes.imshow(
        weights.numpy(), cmap="Blues", aspect="auto", vmin=0, vmax=1, extent=(-0.5, size - 0.5, 6.5, -0.5)
    )
    fig.colorbar(cells, ax=axes, label="weight")
    for edge in (left, right):
        axes.axvline(edge, color=VERMILION, linestyle="dashed")
    axes.set(xlabel="cell of the feature map", ylabel="bin of the patch", xlim=(-4.5, size + 4))
    words = f"Box from {left:g} to {right:g}: {unread(weights, left, right)} of the cells in it are never read"
    axes.set_title(f"{words}\nedges of the box dashed", fontsize=9)
    return fig, f"Weights of {BINS} bins over {size} cells. {words}."


def unread(weights: Tensor, left: float, right: float) -> int:
    """Count the cells inside a box that no bin reads: weights (bins, size), and the box's edges in cells."""
    positions = torch.arange(weights.shape[1])
    inside = (positions > left) & (positions < right)
    return int((inside & (weights.sum(0) == 0)).sum())
