"""What is in each box: its content, read as square patches of several sizes."""

from collections.abc import Sequence
from string import ascii_uppercase

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import roi_align
from coursekit.show.boxes import draw_boxes
from coursekit.show.figures import figure, plain_text


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
