"""The boxes of one image as several faults place them, also outside of the image."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from coursekit.show.boxes import draw_boxes
from coursekit.show.figures import figure

MARGIN = 8  # pixels of white left of an image and above it
REACH = 2.05  # how far the picture goes, in widths and heights of the image


def misplaced_boxes(image: Tensor, boxes: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Show the boxes of one image as several faults place them; white is outside of the image.

    Args:
        image: (3, H, W) uint8.
        boxes: fault → (N, 4) xyxy in pixels.
        names: N names of classes.
    """
    figure(*misplaced_boxes_picture(image, boxes, names))


def misplaced_boxes_picture(image: Tensor, boxes: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Figure, str]:
    """Draw what `misplaced_boxes` shows. Return the figure and its alt text."""
    height, width = image.shape[1:]
    rows = -(-len(boxes) // 2)
    fig = Figure(figsize=(8, 2.7 * rows), layout="constrained")
    grid = fig.subplots(rows, 2, squeeze=False).flat
    for axes in grid:
        axes.set_axis_off()
    for axes, (fault, placed) in zip(fig.axes, boxes.items(), strict=False):
        draw_boxes(axes, image, placed, names, title=fault, dashed=True)
        axes.set(xlim=(-MARGIN, REACH * width), ylim=(REACH * height, -MARGIN))
    where = "; ".join(f"{fault}: {_place(placed, height, width)}" for fault, placed in boxes.items())
    return fig, f"The boxes of one image as {len(boxes)} faults place them. {where}."


def _place(boxes: Tensor, height: int, width: int) -> str:
    """Return where the boxes are, in words."""
    if not len(boxes):
        return "no boxes"
    outside = int(((boxes[:, 2] > width) | (boxes[:, 3] > height)).sum())
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt()
    return f"{outside} of {len(boxes)} reach out of the image, the median side is {sides.median():.0f} pixels"
