"""Which level of the pyramid does a box read? Under a slider for the canonical size."""

from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector.boxes import Part
from coursekit.detector.roi import level_for_box
from coursekit.show.explore import explore, outline
from coursekit.show.pictures import VERMILION


def explore_levels(
    image: Tensor, boxes: Tensor, finest: int = 3, coarsest: int = 5, *, level_for_box: Part = level_for_box
) -> Any:
    """Boxes and the levels they read, under a slider for the canonical size.

    Args:
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels.
        finest, coarsest: levels at hand; level k has a stride of 2^k.
        level_for_box: whose to use, such as your own.
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
    """The image once for each level, with the cells of the level and the boxes that read it.

    Arguments as in `explore_levels`.

    Returns:
        The figure and its alt text.
    """
    levels = level_for_box(boxes, finest, coarsest, canonical_scale).tolist()
    height, width = image.shape[1:]
    fig = Figure(figsize=(2.9 * (coarsest - finest + 1), 3.0), layout="constrained")
    words = []
    for level, axes in zip(
        range(finest, coarsest + 1), fig.subplots(1, coarsest - finest + 1, squeeze=False)[0], strict=True
    ):
        here = [box for box, one in zip(boxes.tolist(), levels, strict=True) if one == level]
        stride = 2**level
        axes.imshow(image.permute(1, 2, 0).numpy(), alpha=0.55)
        axes.set_xticks(range(0, width + 1, stride), labels=[])
        axes.set_yticks(range(0, height + 1, stride), labels=[])
        axes.grid(color="white", linewidth=0.5)
        axes.tick_params(length=0)
        axes.set(xlim=(0, width), ylim=(height, 0))
        for box in here:
            outline(axes, box, VERMILION, "solid", "", 2.4)
        counted = f"{len(here)} box" if len(here) == 1 else f"{len(here)} boxes"
        axes.set_title(f"level {level}: a cell is {stride} px\n{counted}", fontsize=9)
        words.append(f"level {level}: {counted}")
    return fig, f"With a canonical size of {canonical_scale:g} pixels at level 4, " + ", ".join(words) + "."
