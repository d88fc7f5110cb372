"""Feature maps of a scene: one strength for each cell, or one channel at a time."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.show.explore import explore
from coursekit.show.figures import figure

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
