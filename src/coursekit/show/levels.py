"""Show which level of the pyramid each box reads from, with a slider for the canonical scale."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector.boxes import Part
from coursekit.detector.roi import level_for_box
from coursekit.show.boxes import outline
from coursekit.show.colors import VERMILION
from coursekit.show.explore import explore


def explore_levels(
    image: Tensor, boxes: Tensor, finest: int = 3, coarsest: int = 5, *, level_for_box: Part = level_for_box
) -> Any:
    """Show boxes and the levels they read from, under a slider for the canonical scale.

    Args:
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels.
        finest, coarsest: the levels of the pyramid; level k has a stride of 2^k.
        level_for_box: the function to use, such as your own.
    """

    def draw(canonical_scale: int) -> tuple[Figure, str]:
        return level_picture(image, boxes, canonical_scale, finest, coarsest, level_for_box=level_for_box)

    return explore(draw, canonical_scale=(16, 256, 4, 64))


def level_picture(
    image: Tensor,
    boxes: Tensor,
    canonical_scale: float = 64,
    finest: int = 3,
    coarsest: int = 5,
    *,
    level_for_box: Part = level_for_box,
) -> tuple[Figure, str]:
    """Draw the image once per level, with the cells of the level and the boxes that read from it.

    Arguments as in `explore_levels`.

    Returns:
        The figure and its alt text.
    """
    levels = level_for_box(boxes, finest, coarsest, canonical_scale)
    count = coarsest - finest + 1
    fig = Figure(figsize=(2.9 * count, 3.0), layout="constrained")
    words = []
    for level, axes in zip(range(finest, coarsest + 1), fig.subplots(1, count, squeeze=False)[0], strict=True):
        of_level = boxes[levels == level].tolist()
        counted = f"{len(of_level)} box" if len(of_level) == 1 else f"{len(of_level)} boxes"
        _draw_cells(axes, image, 2**level)
        for box in of_level:
            outline(axes, box, VERMILION, "solid", "", 2.4)
        axes.set_title(f"level {level}: a cell is {2**level} px\n{counted}", fontsize=9)
        words.append(f"level {level}: {counted}")
    return fig, f"With a canonical scale of {canonical_scale:g} pixels at level 4, " + ", ".join(words) + "."


def _draw_cells(axes: Axes, image: Tensor, stride: int) -> None:
    height, width = image.shape[1:]
    axes.imshow(image.permute(1, 2, 0).numpy(), alpha=0.55)
    axes.set_xticks(range(0, width + 1, stride), labels=[])
    axes.set_yticks(range(0, height + 1, stride), labels=[])
    axes.grid(color="white", linewidth=0.5)
    axes.tick_params(length=0)
    axes.set(xlim=(0, width), ylim=(height, 0))
