"""Non-maximum suppression: which boxes are kept, and which are dropped for which overlap?"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.detector import box_iou, nms
from coursekit.detector.boxes import Part
from coursekit.show.boxes import on_image, outline
from coursekit.show.colors import BLUE, VERMILION
from coursekit.show.explore import explore
from coursekit.show.labels import NAME


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
    """Draw the boxes that are kept (solid, with a letter and their score) and the dropped ones (dashed).

    At the bottom right of a dropped box is the letter of the box that dropped it, and their IoU. Arguments as in
    `explore_nms`.

    Returns:
        The figure and its alt text.
    """
    confident = scores >= score_thresh
    boxes, scores = boxes[confident], scores[confident]
    kept = nms(boxes, scores, iou_threshold).tolist()
    iou = box_iou(boxes, boxes[kept]) if kept else box_iou(boxes, boxes[:0])
    dropped = [row for row in range(len(boxes)) if row not in kept]
    fig, axes = on_image(image)
    axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
    for place, row in enumerate(kept):
        _draw(axes, boxes[row], f"{_letter(place)} {scores[row]:.2f}", is_kept=True)
    by = [_dropped_by(iou[row], iou_threshold) for row in dropped]
    for row, best in zip(dropped, by, strict=True):
        text = "" if best is None else f"{_letter(best)}: IoU {iou[row, best]:.2f}"
        _draw(axes, boxes[row], text, is_kept=False)
    words = f"{len(boxes)} boxes with a score of {score_thresh:g} or more: {len(kept)} kept, {len(dropped)} dropped"
    axes.set_title(f"{words}\nkept solid, dropped dashed with the letter of the box that dropped it", fontsize=9)
    counts = {_letter(place): by.count(place) for place in range(len(kept)) if place in by}
    drops = "; ".join(f"{letter} drops {count}" for letter, count in counts.items())
    return fig, f"{words} at an IoU above {iou_threshold:g}.{f' {drops}.' if drops else ''}"


def _letter(place: int) -> str:
    """Return the letter of the n-th kept box, from 0: A to Z, then AA, AB, …"""
    first, last = divmod(place, 26)
    return (_letter(first - 1) if first else "") + chr(ord("A") + last)


def _dropped_by(iou: Tensor, iou_threshold: float) -> int | None:
    """Return which kept box drops one: the best that overlaps it too much; else the closest; None if none is kept.

    Args:
        iou: (K,) with the kept boxes, best first.
        iou_threshold: as in `explore_nms`.
    """
    if not len(iou):
        return None
    too_close = (iou > iou_threshold).nonzero().flatten()
    return int(too_close[0] if len(too_close) else iou.argmax())


def _draw(axes: Axes, box: Tensor, text: str, *, is_kept: bool) -> None:
    """Draw a box, with a text at its top left if it is kept, else at its bottom right. Texts stay in the picture."""
    color, style = (BLUE, "solid") if is_kept else (VERMILION, "dashed")
    outline(axes, box.clamp(min=0).tolist(), color, style, "")
    if text:
        (_, width), (height, _) = axes.get_xlim(), axes.get_ylim()
        x = box[0].clamp(0, 0.88 * width) if is_kept else box[2].clamp(0.14 * width, width)
        y = (box[1] if is_kept else box[3]).clamp(0.04 * height, height)
        paper: Any = {"facecolor": "white", "edgecolor": color, "linewidth": 0.6, "pad": 1, "alpha": 0.85}
        side = "left" if is_kept else "right"
        axes.text(float(x), float(y), text, fontsize=6, va="bottom", ha=side, bbox=paper, gid=NAME)
