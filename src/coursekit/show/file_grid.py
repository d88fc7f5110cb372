"""What a reader makes of image files, some of them broken."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coursekit.show.colors import VERMILION
from coursekit.show.figures import figure, plain_text

COLUMNS = 5


def file_grid(folder: Path, names: Sequence[str], read: Callable[[Path], Any]) -> None:
    """Read files, show what comes out of each, and print how many raised an error.

    Args:
        folder: where the files are.
        names: their names.
        read: returns an array (H, W) or (H, W, C), or a tensor (3, H, W).
    """
    fig, alt, errors = file_grid_picture(folder, names, read)
    figure(fig, alt)
    print(f"{errors} of {len(names)} files raised an error")


def file_grid_picture(folder: Path, names: Sequence[str], read: Callable[[Path], Any]) -> tuple[Figure, str, int]:
    """Draw what `file_grid` shows. Return the figure, its alt text, and the number of errors."""
    rows = -(-len(names) // COLUMNS)
    fig = Figure(figsize=(11, 2.3 * rows), layout="constrained")
    errors, words = 0, []
    grid = fig.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, names, strict=False):
        try:
            outcome = _draw(axes, read(folder / name))
        except Exception as error:  # whatever a reader raises is what we want to see
            errors, outcome = errors + 1, type(error).__name__
            axes.text(0.5, 0.5, outcome, ha="center", color=VERMILION, transform=axes.transAxes)
        axes.set_title(f"{plain_text(name)}\n{outcome}", fontsize=8)
        words.append(f"{name}: {outcome}")
    return fig, "What comes out of each file. " + "; ".join(words) + ".", errors


def _draw(axes: Axes, image: Any) -> str:
    """Draw an image and return its kind and shape. Of four channels, the first three are drawn."""
    is_tensor = isinstance(image, torch.Tensor)
    pixels = image.permute(1, 2, 0).numpy() if is_tensor else np.asarray(image)
    axes.imshow(pixels[..., :3] if pixels.ndim == 3 else pixels, cmap="gray")
    return f"{'tensor' if is_tensor else 'array'} {tuple(image.shape)}"
