"""Where has a patch been read? Maps whose cells hold their own position tell."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.show.colors import BLUE, GREEN, ORANGE, VERMILION
from coursekit.show.figures import figure

LINES = ((BLUE, "solid"), (ORANGE, "dashed"), (GREEN, "dotted"))
MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (VERMILION, "D"))
TOLERANCE = 16.0  # pixels between the centers of a box and of its patch, from which they are two places


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
