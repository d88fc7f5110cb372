"""Explorers: a picture under sliders. Where widgets don't run, the picture alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from coursekit.detector import box_iou, match_anchors, nms
from coursekit.detector.boxes import Part
from coursekit.from_scratch.average_precision import precision_recall
from coursekit.show.pictures import BLUE, GREEN, ORANGE, VERMILION, as_html, figure

Control = tuple[float, float, float, float] | tuple[int, int, int, int]  # lowest, highest, step, at the start
Draw = Callable[..., tuple[Figure, str]]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Curve = Callable[[Bools, int], tuple[Floats, Floats]]


def explore(draw: Draw, **controls: Control) -> Any:
    """A picture that is drawn anew whenever a slider moves.

    Args:
        draw: takes the sliders' values by name, and gives a figure and its alt text.
        controls: name → (lowest, highest, step, at the start); whole numbers make a slider of whole numbers. An
            underscore in a name is shown as a space.

    Returns:
        The widget, a `VBox` of sliders and picture, to be shown as a cell's last line. The sliders work with the arrow
        keys. Where ipywidgets is missing, the picture is shown as it begins, and None comes back.
    """
    start = {name: control[3] for name, control in controls.items()}
    try:
        from ipywidgets import HTML, FloatSlider, IntSlider, Layout, VBox
    except ImportError:
        figure(*draw(**start))
        return None
    picture, layout, style = HTML(), Layout(width="420px"), {"description_width": "140px"}
    sliders = {
        name: (IntSlider if all(isinstance(one, int) for one in control) else FloatSlider)(
            min=control[0], max=control[1], step=control[2], value=control[3], continuous_update=False,
            description=name.replace("_", " "), layout=layout, style=style,
        )
        for name, control in controls.items()
    }  # fmt: skip

    def redraw(_: Any = None) -> None:
        picture.value = as_html(*draw(**{name: slider.value for name, slider in sliders.items()}))

    for slider in sliders.values():
        slider.observe(redraw, "value")
    redraw()
    return VBox([*sliders.values(), picture])


def explore_nms(image: Tensor, boxes: Tensor, scores: Tensor, *, nms: Part = nms) -> Any:
    """IoU and non-maximum suppression under two sliders: the least score, and the IoU that is too much.

    Args:
        image: (3, H, W) uint8.
        boxes, scores: (N, 4) xyxy in pixels and (N,) in 0 to 1.
        nms: whose to use, such as your own.
    """

    def draw(box_score_thresh: float, too_much_IoU: float) -> tuple[Figure, str]:  # noqa: N803 - a slider's title
        return nms_picture(image, boxes, scores, box_score_thresh, too_much_IoU, nms=nms)

    return explore(draw, box_score_thresh=(0.0, 1.0, 0.05, 0.3), too_much_IoU=(0.0, 1.0, 0.05, 0.5))


def nms_picture(
    image: Tensor, boxes: Tensor, scores: Tensor, box_score_thresh: float, threshold: float, *, nms: Part = nms
) -> tuple[Figure, str]:
    """Boxes that are kept (solid), and those that a surer one has dropped (dashed, with their IoU with it).

    Arguments as in `explore_nms`.

    Returns:
        The figure and its alt text.
    """
    sure = scores >= box_score_thresh
    boxes, scores = boxes[sure], scores[sure]
    kept = nms(boxes, scores, threshold).tolist()
    overlap = box_iou(boxes, boxes[kept]) if kept else box_iou(boxes, boxes[:0])
    fig, axes = _over(image)
    for row, box in enumerate(boxes.tolist()):
        if row in kept:
            outline(axes, box, BLUE, "solid", f"{scores[row]:.2f}")
        else:
            outline(axes, box, VERMILION, "dashed", f"IoU {overlap[row].max():.2f}")
    dropped = len(boxes) - len(kept)
    words = f"{len(boxes)} boxes with a score of {box_score_thresh:g} or more: {len(kept)} kept, {dropped} dropped"
    axes.set_title(f"{words}\nkept solid, dropped dashed", fontsize=9)
    return fig, f"{words} at an IoU above {threshold:g}."


def explore_anchors(
    image: Tensor, boxes: Tensor, anchors: Tensor, *, match_anchors: Part = match_anchors, most: int = 60
) -> Any:
    """Which anchors match, under two sliders: from which IoU on an anchor is an object, below which it is background.

    Args:
        image: (3, H, W) uint8.
        boxes: (G, 4) xyxy, the truth.
        anchors: (A, 4) xyxy.
        match_anchors: whose to use, such as your own.
        most: so many ignored anchors are drawn at most.
    """

    def draw(object_from: float, background_below: float) -> tuple[Figure, str]:
        low = min(background_below, object_from)
        return anchor_picture(image, boxes, anchors, object_from, low, match_anchors=match_anchors, most=most)

    return explore(draw, object_from=(0.3, 0.95, 0.05, 0.7), background_below=(0.0, 0.7, 0.05, 0.3))


def anchor_picture(
    image: Tensor,
    boxes: Tensor,
    anchors: Tensor,
    high: float,
    low: float,
    *,
    match_anchors: Part = match_anchors,
    most: int = 60,
) -> tuple[Figure, str]:
    """The truth (thick), the anchors that match it (solid) and those that are ignored (dotted).

    Arguments as in `explore_anchors`.

    Returns:
        The figure and its alt text.
    """
    matches = match_anchors(anchors, boxes, high, low)
    positive, ignored = anchors[matches >= 0], anchors[matches == -2]
    fig, axes = _over(image)
    for one in ignored[:most].tolist():
        outline(axes, one, ORANGE, "dotted", "", 0.8)
    for one in positive.tolist():
        outline(axes, one, BLUE, "solid", "", 1.2)
    for one in boxes.tolist():
        outline(axes, one, GREEN, "solid", "", 2.6)
    background = len(anchors) - len(positive) - len(ignored)
    words = (
        f"{len(boxes)} objects: {len(positive)} anchors match, {len(ignored)} are ignored, {background} are background"
    )
    axes.set_title(f"{words}\nobjects thick, matches solid, ignored dotted", fontsize=9)
    without = len(boxes) - len(set(matches[matches >= 0].tolist()))
    return fig, f"{words}; {without} objects have no anchor."


def _over(image: Tensor) -> tuple[Figure, Axes]:
    fig = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = fig.subplots()
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    return fig, axes


def outline(axes: Axes, box: Sequence[float], colour: str, style: Any, text: str, width: float = 1.8) -> None:
    """Draw a box, xyxy in pixels, with a few words at its corner."""
    x1, y1, x2, y2 = box
    kind: Any = {"fill": False, "edgecolor": colour, "linestyle": style, "linewidth": width}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **kind))
    if text:
        paper: Any = {"facecolor": "white", "edgecolor": colour, "linewidth": 0.6, "pad": 1, "alpha": 0.85}
        axes.text(x1, y1, text, fontsize=6, va="bottom", bbox=paper)


def explore_curve(
    scores: Floats, is_right: Bools, objects: int, *, precision_recall: Curve = precision_recall, title: str = ""
) -> Any:
    """Precision and recall under a slider: from which score on a detection is believed.

    Args:
        scores, is_right: (D,) of the detections of one class, in any order, and whether each has found an object.
        objects: how many there are to find, at least one.
        precision_recall: whose to use, such as your own.
        title: what the picture is about, such as the class.
    """

    def draw(believed_from: float) -> tuple[Figure, str]:
        return curve_picture(scores, is_right, objects, believed_from, precision_recall=precision_recall, title=title)

    return explore(draw, believed_from=(0.0, 1.0, 0.05, 0.5))


def curve_picture(
    scores: Floats,
    is_right: Bools,
    objects: int,
    threshold: float,
    *,
    precision_recall: Curve = precision_recall,
    title: str = "",
) -> tuple[Figure, str]:
    """Detections by score, those right above those wrong, and the point of the curve that a threshold gives.

    Arguments as in `explore_curve`.

    Returns:
        The figure and its alt text.
    """
    order = np.argsort(-scores, kind="stable")
    scores, is_right = scores[order], is_right[order]
    precision, recall = precision_recall(is_right, objects)
    fig = Figure(figsize=(9, 3.3), layout="constrained")
    left, right = fig.subplots(1, 2)
    for row, (kind, colour, mark) in enumerate((("wrong", VERMILION, "x"), ("right", BLUE, "o"))):
        chosen = scores[is_right == bool(row)]
        height = row + 0.6 * (0.618 * np.arange(len(chosen)) % 1 - 0.5)  # apart, so that each is seen
        left.plot(chosen, height, mark, color=colour, markersize=4, alpha=0.7, label=kind)
    left.axvline(threshold, color="black", linestyle="dashed")
    left.set(xlim=(-0.02, 1.02), ylim=(-0.6, 1.6), xlabel="score", title="believed: right of the line")
    left.set_yticks([0, 1], labels=["wrong", "right"])
    right.plot(recall, precision, color=BLUE)
    right.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="recall", ylabel="precision", title=title)
    believed = int((scores >= threshold).sum())
    hits = int(is_right[:believed].sum())
    words = (
        f"From a score of {threshold:.2f} on: {believed} believed, {hits} right, {objects - hits} of {objects} missed"
    )
    if believed:
        right.plot(recall[believed - 1], precision[believed - 1], "o", color=ORANGE, markersize=10, markeredgecolor="k")
        words += f"; precision {precision[believed - 1]:.2f}, recall {recall[believed - 1]:.2f}"
    fig.suptitle(words, fontsize=9)
    return fig, f"{words}."
