"""Feature maps of a scene, and what a cell of a map sees of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import avg_pool2d

from coursekit.show.explore import explore
from coursekit.show.figures import figure, plain_text

COLUMNS = 3


def feature_maps(scene: Tensor, maps: Sequence[Tensor]) -> None:
    """Show a scene, (3, H, W) uint8, and its maps, (C, H_i, W_i) each: the mean strength of all channels."""
    figure(*feature_maps_picture(scene, maps))


def feature_maps_picture(scene: Tensor, maps: Sequence[Tensor]) -> tuple[Figure, str]:
    """Draw what `feature_maps` shows. Return the figure and its alt text."""
    rows = -(-(1 + len(maps)) // COLUMNS)
    fig = Figure(figsize=(9.5, 2.6 * rows), layout="constrained")
    grid = fig.subplots(rows, COLUMNS, squeeze=False).flat
    for axes in grid:
        axes.set_axis_off()
    fig.axes[0].imshow(scene.permute(1, 2, 0).numpy())
    fig.axes[0].set_title("the scene", fontsize=9)
    words = []
    for axes, features in zip(fig.axes[1:], maps, strict=False):
        title = f"stride {stride_of(scene, features)}: {len(features)} channels of {_size(features)}"
        _draw(axes, features.abs().mean(0), title)
        words.append(title)
    return fig, "A scene and its feature maps, each with larger cells than the one before: " + "; ".join(words) + "."


def explore_channels(scene: Tensor, maps: Sequence[Tensor]) -> Any:
    """Show single channels of maps, (C, H_i, W_i) each, with sliders for the stride and the channel."""
    by_stride = {stride_of(scene, features): features for features in maps}

    def draw(stride: int, channel: int) -> tuple[Figure, str]:
        features = by_stride[stride]
        fig = Figure(figsize=(5, 3.6), layout="constrained")
        title = f"stride {stride}, channel {channel % len(features)} of {len(features)}"
        _draw(fig.subplots(), features[channel % len(features)], title)
        return fig, f"A grid of light and dark cells: {title}."

    strides = list(by_stride)
    return explore(draw, stride=(strides, strides[0]), channel=(0, 31, 1, 3))


def stride_of(scene: Tensor, features: Tensor) -> int:
    """Return how many pixels of the scene, (3, H, W), are between neighboring cells of a map, (C, H', W')."""
    return round(scene.shape[-1] / features.shape[-1])


def _draw(axes: Axes, values: Tensor, title: str) -> None:
    axes.imshow(values.numpy(), cmap="cividis")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


def _size(features: Tensor) -> str:
    return f"{features.shape[1]} × {features.shape[2]}"


def cell_views(scene: Tensor, gradients: Mapping[str, Tensor]) -> None:
    """Show a scene, (3, H, W) uint8, and over it how much each pixel moves a cell.

    Args:
        scene: (3, H, W) uint8.
        gradients: title → (H, W), 0 for pixels that the cell can't see.
    """
    figure(*cell_views_picture(scene, gradients))


def cell_views_picture(scene: Tensor, gradients: Mapping[str, Tensor]) -> tuple[Figure, str]:
    """Draw what `cell_views` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(3.4 * len(gradients), 3), layout="constrained")
    words = []
    row = fig.subplots(1, len(gradients), squeeze=False)[0]
    for axes, (title, gradient) in zip(row, gradients.items(), strict=True):
        left, top, width, height = _frame(gradient)
        smooth = avg_pool2d(gradient[None], 5, 1, 2)[0]
        axes.imshow(scene.float().mean(0).numpy(), cmap="gray", alpha=0.6)
        axes.imshow((smooth / smooth.max()).sqrt().numpy(), cmap="inferno", alpha=0.65)
        look: Any = {"fill": False, "edgecolor": "white", "linewidth": 2, "linestyle": "--"}
        axes.add_patch(Rectangle((left, top), width, height, **look))
        axes.set_title(plain_text(title), fontsize=9)
        axes.set_axis_off()
        words.append(f"{title}: the frame is {width} × {height} pixels")
    return fig, "The pixels that a cell in the middle sees, brightest in the middle of a frame. " + "; ".join(
        words
    ) + "."


def _frame(gradient: Tensor) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the part that isn't 0."""
    rows, columns = gradient.sum(1).nonzero()[:, 0], gradient.sum(0).nonzero()[:, 0]
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top
