"""Anchors as guesses: those of one cell, those that match, what a wrong order does, and decoded boxes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from coursekit.detector import box_iou, make_anchors, match_anchors
from coursekit.detector.boxes import Part
from coursekit.show.boxes import outline
from coursekit.show.colors import BLUE, GREEN, VERMILION
from coursekit.show.explore import explore
from coursekit.show.figures import figure

BEST = 12  # anchors to draw
WRONG_ORDER = "A, H, W"  # which the explorer starts with


def guesses_and_matches(
    image: Tensor,
    boxes: Tensor,
    strides: Sequence[int],
    sizes_for: Callable[[int], Sequence[float]],
    ratios: Sequence[float],
    guess: int | None = None,
) -> None:
    """Show the anchors of one cell of the middle level, and all anchors that match an object.

    Args:
        image: (3, H, W) uint8.
        boxes: (G, 4) xyxy in pixels, the ground truth.
        strides: pixels per cell of each level.
        sizes_for: stride → sizes of the anchors in pixels.
        ratios: height / width of the anchors.
        guess: how many were expected to match; it is shown beside the number.
    """
    grids = [(-(-image.shape[1] // stride), -(-image.shape[2] // stride)) for stride in strides]
    levels = [make_anchors(grid, (s, s), sizes_for(s), ratios) for grid, s in zip(grids, strides, strict=True)]
    anchors, (rows, columns) = torch.cat(levels), grids[1]
    per_cell = len(sizes_for(strides[1])) * len(ratios)
    first = per_cell * (rows // 2 * columns + columns // 2)
    matched = anchors[match_anchors(anchors, boxes) >= 0]
    fig = Figure(figsize=(9.4, 3.7), layout="constrained")
    left, right = fig.subplots(1, 2)
    _picture(left, image, f"one cell of the middle level: {per_cell} guesses")
    _outlines(left, levels[1][first : first + per_cell], VERMILION)
    words = f"{len(matched)} of {len(anchors):,} guesses match the {len(boxes)} objects"
    _picture(right, image, f"{words} (thick)" + ("" if guess is None else f"; you guessed {guess:,}"))
    _outlines(right, boxes, GREEN, width=2.8)
    _outlines(right, matched, BLUE, "dashed", 1.0)
    figure(fig, f"A scene twice: with {per_cell} boxes about one point; and with its objects, where {words}.")


def explore_orders(image: Tensor, boxes: Tensor, anchors: Tensor, predicted: Tensor) -> Any:
    """Show the best anchors of a level, by what a head predicts, if its map is flattened in one of six orders.

    Args:
        image: (3, H, W) uint8.
        boxes: (G, 4) xyxy in pixels, the ground truth.
        anchors: (h * w * a, 4) xyxy in pixels, the anchors of the level.
        predicted: (a, h, w), the IoU that the head predicts.
    """

    def draw(order: str) -> tuple[Figure, str]:
        return order_picture(image, boxes, anchors, predicted, order)

    orders = [", ".join(letters) for letters in permutations("AHW")]
    return explore(draw, order=[order for order in orders if order != WRONG_ORDER] + [WRONG_ORDER])


def order_picture(image: Tensor, boxes: Tensor, anchors: Tensor, predicted: Tensor, order: str) -> tuple[Figure, str]:
    """Draw the 12 best anchors if a map is flattened in an order such as "H, W, A".

    Other arguments as in `explore_orders`.

    Returns:
        The figure and its alt text.
    """
    axes_in_order = ["AHW".index(letter) for letter in order.split(", ")]
    best = predicted.permute(axes_in_order).flatten().topk(BEST)
    true = box_iou(anchors[best.indices], boxes).amax(1)
    fig = Figure(figsize=(5.6, 4.5), layout="constrained")
    axes = fig.subplots()
    words = f"order {order}: IoU predicted {best.values.mean():.2f}, true {true.mean():.2f}"
    _picture(axes, image, f"{words}\nobjects thick, the {BEST} best anchors dashed")
    _outlines(axes, boxes, GREEN, width=2.8)
    _outlines(axes, anchors[best.indices], VERMILION, "dashed")
    return fig, f"A scene with its objects and the {BEST} best anchors; {words}."


def awkward_cases(cases: Mapping[str, tuple[Tensor, Tensor]], match_anchors: Part) -> None:
    """Show drawings of a few anchors and objects, with what a function matches, and print the IoUs.

    Args:
        cases: name → (anchors, boxes), (N, 4) and (G, 4) xyxy from 0 to 80.
        match_anchors: the function to use, such as your own.
    """
    fig = Figure(figsize=(3 * len(cases), 2.9), layout="constrained")
    words = []
    for axes, (name, (anchors, boxes)) in zip(fig.subplots(1, len(cases)), cases.items(), strict=True):
        matches = match_anchors(anchors, boxes).tolist()
        words.append(f"{name}: {matches}")
        _drawing(axes, anchors, boxes, matches, words[-1])
        ious = ", ".join(str([round(value, 2) for value in row]) for row in box_iou(boxes, anchors).tolist())
        print(f"{words[-1]}; IoU of each object with the anchors: {ious}")
    figure(fig, f"Drawings of objects and anchors, with what each anchor matches. {'; '.join(words)}.")


def _drawing(axes: Axes, anchors: Tensor, boxes: Tensor, matches: Sequence[int], title: str) -> None:
    _outlines(axes, boxes, GREEN, width=3)
    _outlines(axes, anchors, BLUE, "dashed", 2)
    for number, (x1, _, _, y2) in enumerate(boxes.tolist()):
        axes.text(x1, y2 + 6.5, f"object {number}", fontsize=8, color="#00614A")
    for (x1, y1, _, _), match in zip(anchors.tolist(), matches, strict=True):
        axes.text(x1 + 1.5, y1 + 6.5, f"{match}", fontsize=10, color=BLUE, weight="bold")
    axes.set(xlim=(0, 80), ylim=(80, 0), aspect="equal", xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)


def explore_decoding(image: Tensor, anchors: Tensor, boxes: Tensor, encode_boxes: Part, decode_boxes: Part) -> Any:
    """Show anchors, and the boxes that a head decodes from them if its deltas are off by a random number.

    Args:
        image: (3, H, W) uint8.
        anchors, boxes: (M, 4) xyxy in pixels each: matched anchors, and the box that each should give.
        encode_boxes, decode_boxes: the functions to use, such as your own.
    """
    deltas = encode_boxes(boxes, anchors)
    noise = torch.randn(deltas.shape, generator=torch.Generator().manual_seed(0))

    def draw(mistake: float) -> tuple[Figure, str]:
        return decoded_picture(image, anchors, boxes, decode_boxes(deltas + mistake * noise, anchors))

    return explore(draw, mistake=(0.0, 1.0, 0.05, 0.0))


def decoded_picture(image: Tensor, anchors: Tensor, boxes: Tensor, decoded: Tensor) -> tuple[Figure, str]:
    """Draw anchors and decoded boxes side by side, with the mean IoU of each with its object: (M, 4) xyxy each.

    Returns:
        The figure and its alt text.
    """
    fig = Figure(figsize=(9.2, 3.7), layout="constrained")
    words = []
    for axes, (name, drawn) in zip(fig.subplots(1, 2), {"anchors": anchors, "decoded": decoded}.items(), strict=True):
        words.append(f"{name}: mean IoU {box_iou(drawn, boxes).diagonal().mean():.2f}")
        _picture(axes, image, words[-1])
        _outlines(axes, boxes, GREEN, width=2.8)
        _outlines(axes, drawn, BLUE, "dashed", 1.2)
    return fig, f"Objects with matched anchors, and with the boxes decoded from them. {'; '.join(words)}."


def _picture(axes: Axes, image: Tensor, title: str) -> None:
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
    axes.set_title(title, fontsize=9)


def _outlines(axes: Axes, boxes: Tensor, color: str, style: str = "solid", width: float = 1.5) -> None:
    """Draw boxes with a white halo, so that they can be seen on every background."""
    for box in boxes.tolist():
        outline(axes, box, color, style, "", width)
        axes.patches[-1].set_path_effects([withStroke(linewidth=width + 1.2, foreground="white")])
