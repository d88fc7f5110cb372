"""Non-maximum suppression: which boxes are kept, and which are dropped for which overlap?"""

from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import box_iou, nms
from coursekit.detector.boxes import Part
from coursekit.show.boxes import on_image, outline
from coursekit.show.colors import BLUE, VERMILION
from coursekit.show.explore import explore


def explore_nms(image: Tensor, boxes: Tensor, scores: Tensor, *, nms: Part = nms, score_thresh: float = 0.3) -> Any:
    """Show non-maximum suppression under two sliders: the lowest score, and the highest IoU that two boxes may have.

    Args:
        image: (3, H, W) uint8.
        boxes, scores: (N, 4) xyxy in pixels and (N,) in 0 to 1.
        nms: the function to use, such as your own.
        score_thresh: the lowest score at the start.
    """

    def draw(score_thresh: float, iou_threshold: float) -> tuple[Figure, str]:
        return nms_picture(image, boxes, scores, score_thresh, iou_threshold, nms=nms)

    return explore(draw, score_thresh=(0.0, 1.0, 0.05, score_thresh), iou_threshold=(0.0, 1.0, 0.05, 0.5))


def nms_picture(
    image: Tensor, boxes: Tensor, scores: Tensor, score_thresh: float, iou_threshold: float, *, nms: Part = nms
) -> tuple[Figure, str]:
    """Draw the boxes that are kept (solid), and the dropped ones (dashed, with their IoU with a kept box).

    A text that would cover another is left out. Arguments as in `explore_nms`.

    Returns:
        The figure and its alt text.
    """
    confident = scores >= score_thresh
    boxes, scores = boxes[confident], scores[confident]
    kept = nms(boxes, scores, iou_threshold).tolist()
    iou = box_iou(boxes, boxes[kept]) if kept else box_iou(boxes, boxes[:0])
    fig, axes = on_image(image)
    axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
    labelled: list[tuple[float, float]] = []
    for row in [*kept, *(row for row in range(len(boxes)) if row not in kept)]:
        box = boxes[row].clamp(min=0).tolist()
        text = f"{scores[row]:.2f}" if row in kept else f"IoU {iou[row].max():.2f}"
        text = text if _is_free(labelled, box, image.shape[2]) else ""
        labelled += [(box[0], box[1])] if text else []
        outline(axes, box, *((BLUE, "solid") if row in kept else (VERMILION, "dashed")), text)
    dropped = len(boxes) - len(kept)
    words = f"{len(boxes)} boxes with a score of {score_thresh:g} or more: {len(kept)} kept, {dropped} dropped"
    axes.set_title(f"{words}\nkept solid, dropped dashed", fontsize=9)
    return fig, f"{words} at an IoU above {iou_threshold:g}."


def _is_free(labelled: list[tuple[float, float]], box: list[float], width: int) -> bool:
    """Return whether a text at a box's corner covers none of those at the labelled corners and stays in the picture."""
    x, y = box[:2]
    is_inside = x < 0.9 * width and y > 0.03 * width
    return is_inside and all(abs(x - a) > 0.1 * width or abs(y - b) > 0.035 * width for a, b in labelled)
