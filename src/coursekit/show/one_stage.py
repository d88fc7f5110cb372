"""A one-stage detector: which cell answers for which object, centerness over a box, and the shape of the focal loss."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector.boxes import Part
from coursekit.show.boxes import outline
from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from coursekit.show.figures import figure

STYLES = ((VERMILION, "--"), (PURPLE, "-."), (SKY, ":"), (BLUE, "-"))
CONTOURS = (0.2, 0.4, 0.6, 0.8)


def cells_to_objects(image: Tensor, points: Tensor, strides: Tensor, matches: Tensor, boxes: Tensor) -> None:
    """Show an image once for each level. Each cell shows the number of the object that it answers for, or a dot.

    Args:
        image: (3, H, W) uint8.
        points: (N, 2) x and y of each cell in pixels.
        strides: (N,) pixels per cell of each cell's level.
        matches: (N,) from `assign_cells`.
        boxes: (G, 4) xyxy, the ground truth.
    """
    figure(*cells_to_objects_picture(image, points, strides, matches, boxes))


def cells_to_objects_picture(
    image: Tensor, points: Tensor, strides: Tensor, matches: Tensor, boxes: Tensor
) -> tuple[Figure, str]:
    """Draw what `cells_to_objects` shows. Return the figure and its alt text."""
    levels = strides.unique().tolist()
    fig = Figure(figsize=(3.7 * len(levels), 3.1), layout="constrained")
    words = []
    for axes, stride in zip(fig.subplots(1, len(levels), squeeze=False)[0], levels, strict=True):
        is_level = strides == stride
        chosen = matches[is_level]
        answering = int((chosen >= 0).sum())
        title = f"stride {stride:g}: {answering} of {len(chosen):,} cells answer"
        _cells(axes, image, points[is_level], chosen, boxes, title)
        objects = sorted(set(chosen[chosen >= 0].tolist()))
        words.append(f"{title}, for the objects {', '.join(map(str, objects)) or '(none)'}")
    return fig, f"A scene once for each level, with {len(boxes)} numbered objects. {'; '.join(words)}."


def _cells(axes: Axes, image: Tensor, points: Tensor, matches: Tensor, boxes: Tensor, title: str) -> None:
    axes.imshow(image.permute(1, 2, 0).numpy(), alpha=0.55)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    drawn = set(matches[matches >= 0].tolist())
    for number, box in enumerate(boxes.tolist()):
        is_drawn = number in drawn
        color, style = (GREEN, "solid") if is_drawn else ("#777777", "dotted")
        outline(axes, box, color, style, "")
        tag: Any = {"facecolor": "white", "edgecolor": color, "linewidth": 0.6, "pad": 0.8, "alpha": 0.85}
        axes.text(box[0] + 2, box[1] + 2, f"{number}", fontsize=6, va="top", bbox=tag)
    free = points[matches < 0]
    axes.plot(free[:, 0], free[:, 1], ".", color="black", markersize=1.5)
    paper: Any = {"boxstyle": "circle,pad=0.12", "facecolor": ORANGE, "edgecolor": "black", "linewidth": 0.5}
    for (x, y), number in zip(points[matches >= 0].tolist(), matches[matches >= 0].tolist(), strict=True):
        axes.text(x, y, str(number), fontsize=5.5, ha="center", va="center", bbox=paper)
    axes.set(xlim=(-4, image.shape[2]), ylim=(image.shape[1], -4))


def centerness_map(centerness: Part, width: int = 96, height: int = 48) -> None:
    """Show the centerness of each point in a box: as a map with contour lines, and along the box's middle row.

    Args:
        centerness: the function to use, such as your own.
        width, height: of the box, in pixels.
    """
    figure(*centerness_map_picture(centerness, width, height))


def centerness_map_picture(centerness: Part, width: int = 96, height: int = 48) -> tuple[Figure, str]:
    """Draw what `centerness_map` shows. Return the figure and its alt text."""
    # From one pixel inside of each side, in an odd number of steps: so the center is among the points.
    y, x = torch.meshgrid(torch.linspace(1, height - 1, 47), torch.linspace(1, width - 1, 95), indexing="ij")
    values = centerness(torch.stack([x, y, width - x, height - y], dim=-1))
    quarter = centerness(torch.tensor([width / 4, height / 2, 3 * width / 4, height / 2])).item()
    fig = Figure(figsize=(9.2, 2.9), layout="constrained")
    left, right = fig.subplots(1, 2)
    drawn = left.imshow(values.numpy(), extent=(0, width, height, 0), cmap="cividis", vmin=0, vmax=1)
    lines = left.contour(x.numpy(), y.numpy(), values.numpy(), levels=CONTOURS, colors="white", linewidths=0.8)
    left.clabel(lines, fontsize=7)
    left.set(title="centerness of the points in a box", xlabel="x in pixels", ylabel="y in pixels")
    fig.colorbar(drawn, ax=left, shrink=0.8)
    right.plot(x[0], values[23], color=BLUE)
    right.plot([width / 4], [quarter], "o", color=VERMILION)
    note: Any = {"arrowstyle": "->"}
    right.annotate(f"a quarter: {quarter:.2f}", (width / 4, quarter), (0.4 * width, 0.3), arrowprops=note)
    right.set(title="along the middle row", xlabel="x in pixels", ylabel="centerness", ylim=(0, 1.05))
    words = f"{values.max():.2f} in the center, {quarter:.2f} a quarter of the width from the side, near 0 at the sides"
    return fig, f"Centerness in a box of {width} by {height} pixels: {words}."


def focal_shapes(focal_loss: Part, gammas: Sequence[float] = (0, 0.5, 2, 5)) -> None:
    """Show the focal loss over the probability given to the correct answer, for several gammas, with alpha left out.

    Args:
        focal_loss: the function to use, such as your own.
        gammas: one curve for each.
    """
    figure(*focal_shapes_picture(focal_loss, gammas))


def focal_shapes_picture(focal_loss: Part, gammas: Sequence[float] = (0, 0.5, 2, 5)) -> tuple[Figure, str]:
    """Draw what `focal_shapes` shows. Return the figure and its alt text."""
    p_t = torch.linspace(0.01, 0.99, 99)
    fig = Figure(figsize=(8.6, 3.0), layout="constrained")
    words = []
    for axes, scale in zip(fig.subplots(1, 2), ("linear", "log"), strict=True):
        for number, gamma in enumerate(gammas):
            color, style = STYLES[number % len(STYLES)]
            loss = focal_loss(p_t.logit(), torch.ones_like(p_t), 1.0, float(gamma))
            axes.plot(p_t, loss, style, color=color, label=f"γ = {gamma:g}{' (cross-entropy)' if not gamma else ''}")
            if scale == "log":
                words.append(f"{loss[89]:.2g} for γ = {gamma:g}")
        axes.set(xlabel="probability given to the correct answer", ylabel="loss without α", yscale=scale)
        axes.axvspan(0.6, 1, color=GREEN, alpha=0.12)
        axes.text(0.8, 0.9, "easy", ha="center", transform=axes.get_xaxis_transform(), fontsize=8)
    fig.axes[0].legend(fontsize=8)
    alt = "The focal loss falls as the probability of the correct answer grows, the faster the larger γ is."
    return fig, f"{alt} Where that probability is 0.90, the loss is {', '.join(words)}."
