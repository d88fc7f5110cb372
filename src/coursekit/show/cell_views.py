"""What a cell in the middle of a map sees of a scene: the computed field, and where the gradient is."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import avg_pool2d

from coursekit.show.figures import figure, plain_text


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
