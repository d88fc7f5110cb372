"""RoIAlign in pictures: its weights along an axis, where patches are read, and what is in them."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import axis_weights, roi_align
from coursekit.detector.boxes import Part
from coursekit.show.boxes import draw_boxes
from coursekit.show.colors import BLUE, GREEN, ORANGE, VERMILION
from coursekit.show.explore import explore
from coursekit.show.figures import figure, plain_text

LINES = ((BLUE, "solid"), (ORANGE, "dashed"), (GREEN, "dotted"))
MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (VERMILION, "D"))
TOLERANCE = 16.0  # pixels between the centers of a box and of its patch, from which they are two places
BINS = 7


def sliding_box(asked: Tensor, read: Mapping[str, Tensor]) -> None:
    """Show the center that each way of reading returns for a box that slides to the right.

    Args:
        asked: (N,) centers of the box, in pixels.
        read: name of a way → (N,) centers of its patches, in pixels.
    """
    figure(*sliding_box_picture(asked, read))


def sliding_box_picture(asked: Tensor, read: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Draw what `sliding_box` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(6.8, 3.2), layout="constrained")
    axes = fig.subplots()
    for (name, centers), (color, style) in zip(read.items(), LINES, strict=False):
        axes.plot(asked, centers, color=color, linestyle=style, label=name)
    axes.set(xlabel="center of the box, in pixels", ylabel="center that was read, in pixels")
    axes.legend(fontsize=8)
    errors = {name: (centers - asked).abs().max().item() for name, centers in read.items()}
    words = "; ".join(f"{name}: at most {error:.1f} pixels off" for name, error in errors.items())
    return fig, f"Center that was read over center of the box. {words}."


def places_read(boxes: Sequence[Tensor], read: Mapping[str, Tensor]) -> None:
    """Show for each patch where it was read, over where its box is; a panel for each way of pooling.

    Args:
        boxes: (R_i, 4) xyxy in pixels, for each image.
        read: name of a way → (R, 4) means of its patches: stride, image, y, x.
    """
    figure(*places_picture(boxes, read))


def places_picture(boxes: Sequence[Tensor], read: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Draw what `places_read` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(4.2 * len(read), 3.7), layout="constrained")
    row = fig.subplots(1, len(read), sharey=True, squeeze=False)[0]
    asked = torch.cat([(in_image[:, 0] + in_image[:, 2]) / 2 for in_image in boxes])
    words = []
    for axes, (name, means) in zip(row, read.items(), strict=True):
        off = int(((means[:, 3] - asked).abs() > TOLERANCE).sum())
        axes.set_title(f"{name}\n{off} of {len(asked)} patches were read somewhere else", fontsize=9)
        axes.set_xlabel("x of the box's center, in pixels")
        _draw_dots(axes, asked, means)
        words.append(f"{name}: {off} of {len(asked)} patches were read somewhere else")
    row[0].set_ylabel("x that the patch has read")
    row[0].legend(fontsize=8)
    return fig, f"x read over x of the box. {'; '.join(words)}."


def _draw_dots(axes: Axes, asked: Tensor, means: Tensor) -> None:
    """Draw a dot for each patch, with a mark for the stride of the level that it was read from."""
    strides = means[:, 0].round()
    for stride, (color, mark) in zip(strides.unique().tolist(), MARKS, strict=False):
        rows = strides == stride
        axes.plot(asked[rows], means[rows, 3], mark, color=color, label=f"stride {stride:g}", markersize=5)


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


def patches(image: Tensor, boxes: Tensor, names: Sequence[str], sizes: Sequence[int] = (28, 7)) -> None:
    """Show an image with its boxes, and the content of each box as a patch of each size.

    Args:
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels.
        names: the class of each box.
        sizes: height and width of the patches, in values: a row of patches for each.
    """
    figure(*patches_picture(image, boxes, names, sizes))


def patches_picture(image: Tensor, boxes: Tensor, names: Sequence[str], sizes: Sequence[int]) -> tuple[Figure, str]:
    """Draw what `patches` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(4.2 + 1.35 * len(boxes), 1.6 * len(sizes) + 0.2), layout="constrained")
    grid = fig.add_gridspec(len(sizes), 2 + len(boxes), width_ratios=[1.4, 1.4] + [1] * len(boxes))
    letters = list(ascii_uppercase[: len(boxes)])
    axes = fig.add_subplot(grid[:, :2])
    draw_boxes(axes, image, boxes, letters, title="the boxes")
    for text in axes.texts:
        text.set_fontsize(9)
    for row, size in enumerate(sizes):
        for column, patch in enumerate(roi_align(image.float(), boxes, 1.0, size)):
            name = f"{letters[column]}: {plain_text(names[column])}\n" if row == 0 else ""
            _draw_patch(fig.add_subplot(grid[row, 2 + column]), patch, f"{name}{size} × {size}")
    squares = " and of ".join(f"{size} × {size}" for size in sizes)
    return fig, f"A scene with {len(boxes)} boxes ({', '.join(names)}); the content of each as a square of {squares}."


def _draw_patch(axes: Axes, patch: Tensor, title: str) -> None:
    axes.imshow(patch.permute(1, 2, 0).numpy() / 255)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
