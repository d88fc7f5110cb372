"""04 · Anchors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import box_iou, encode_boxes, match_anchors
from coursekit.lessons.exercise import Case, Exercise, Mistake, case
from coursekit.lessons.exercises.draw import boxes, xyxy

BACKGROUND, IGNORED = -1, -2
ROW = xyxy(
    (0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 20, 10), (50, 50, 60, 60)
)  # a box at 0 overlaps them by 1, 1/3, 0, 0


def _match_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a box just like the first anchor", ROW, xyxy((0, 0, 10, 10)))
    yield case("an anchor in the ignored band: IoU 0.5", xyxy((0, 0, 10, 10), (0, 0, 10, 5)), xyxy((0, 0, 10, 10)))
    yield case("an IoU that is exactly `high`", xyxy((0, 0, 10, 5), (0, 0, 10, 10)), xyxy((0, 0, 10, 10)), 0.5, 0.3)
    yield case(
        "two anchors that are good enough: IoU 1 and 0.8", xyxy((0, 0, 10, 10), (0, 0, 10, 8)), xyxy((0, 0, 10, 10))
    )
    yield case(
        "an IoU that is exactly `high`, best ones not kept", xyxy((0, 0, 10, 5)), xyxy((0, 0, 10, 10)), 0.5, 0.3, False
    )
    yield case("an IoU that is exactly `low`", xyxy((0, 0, 10, 5), (0, 0, 10, 10)), xyxy((0, 0, 10, 10)), 0.7, 0.5)
    yield case("no box in the image", ROW, torch.empty(0, 4))
    yield case("a small box, whose best anchor is far below `high`", ROW, xyxy((2, 2, 4, 4)))
    yield case("the same, where best anchors are not kept", ROW, xyxy((2, 2, 4, 4)), 0.7, 0.3, False)
    yield case("a box that no anchor overlaps", ROW, xyxy((30, 30, 40, 40)))
    yield case("a box that two anchors overlap alike", ROW, xyxy((4, 0, 11, 10)))
    yield case("two boxes that an anchor overlaps alike", ROW, xyxy((0, 0, 10, 8), (0, 2, 10, 10)))
    second = xyxy((0, 0, 10, 10), (0, 0, 10, 9))
    yield case("a box whose best anchor overlaps another more", xyxy((0, 0, 10, 10), (40, 0, 50, 10)), second)
    yield case("boxes in another order than their anchors", ROW, xyxy((50, 50, 60, 60), (0, 0, 10, 10)))
    yield case("many", boxes(generator, 60), boxes(generator, 9))
    yield case("many, with other limits", boxes(generator, 60), boxes(generator, 9), 0.5, 0.2)
    yield case("many, without best anchors", boxes(generator, 60), boxes(generator, 9), 0.5, 0.4, False)
    yield case("float64", boxes(generator, 40, torch.float64), boxes(generator, 5, torch.float64))


def _labelled(overlap: Tensor, wanted: Tensor, low: float) -> Tensor:
    """(G, A) IoU, (A,) which are taken → matches."""
    best, match = overlap.max(0)
    return torch.where(wanted, match, torch.where(best < low, BACKGROUND, IGNORED))


def _none(anchors: Tensor) -> Tensor:
    return torch.full((len(anchors),), BACKGROUND)


def _own_best(overlap: Tensor) -> Tensor:
    """(A,) whether an anchor is the first of the best of some box."""
    is_best = torch.zeros(overlap.shape[1], dtype=torch.bool)
    is_best[overlap.argmax(1)[overlap.amax(1) > 0]] = True
    return is_best


def _never_best(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    return match_anchors(anchors, truth, high, low, False)


def _no_band(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    matches = match_anchors(anchors, truth, high, low, keep_best)
    return torch.where(matches == IGNORED, BACKGROUND, matches)


def _one_best(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    if not len(truth):
        return _none(anchors)
    overlap = box_iou(truth, anchors)
    wanted = overlap.amax(0) >= high
    return _labelled(overlap, wanted | _own_best(overlap) if keep_best else wanted, low)


def _forced(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    """Each best anchor is given to the box that it is best for, even where it overlaps another more."""
    if not len(truth) or not keep_best:
        return match_anchors(anchors, truth, high, low, keep_best)
    overlap = box_iou(truth, anchors)
    matches = match_anchors(anchors, truth, high, low, False)
    for row, values in enumerate(overlap):
        if values.amax() > 0:
            matches[values == values.amax()] = row
    return matches


def _zero_is_best(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    if not len(truth):
        return _none(anchors)
    overlap = box_iou(truth, anchors)
    is_best = (overlap >= overlap.amax(1, keepdim=True)).any(0)
    wanted = overlap.amax(0) >= high
    return _labelled(overlap, wanted | is_best if keep_best else wanted, low)


def _over_high(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    return match_anchors(anchors, truth, high + 1e-6, low, keep_best)


def _up_to_low(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    return match_anchors(anchors, truth, high, low + 1e-6, keep_best)


def _no_empty(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    if not len(truth):
        raise IndexError("max(): Expected reduction dim 0 to have non-zero size.")
    return match_anchors(anchors, truth, high, low, keep_best)


def _constants(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    return match_anchors(anchors, truth, 0.7, 0.3, keep_best)


def _reversed(anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, keep_best: bool = True) -> Any:
    matches = match_anchors(anchors, truth.flip(0), high, low, keep_best)
    return torch.where(matches >= 0, len(truth) - 1 - matches, matches)


MATCH = Exercise(
    "match_anchors",
    lesson=4,
    minutes=30,
    reference=match_anchors,
    cases=_match_cases,
    library=("torchvision.models.detection._utils.Matcher",),
    hints=(
        "“Some objects are never learned.” A small box may overlap no anchor by 0.7. Which anchor should take it all the "
        "same, and what if two overlap it alike?",
        "“A box that overlaps none has an anchor.” The best of its overlaps is 0 then, and every anchor reaches 0. And with "
        "no box at all there is nothing to take the maximum of: all is background.",
        "“Nearly there.” overlap = box_iou(boxes, anchors) is (G, A). best, match = overlap.max(0) asks for each anchor; "
        "most = overlap.amax(1, keepdim=True) for each box; is_a_best = ((overlap == most) & (most > 0)).any(0). Then two "
        "torch.where: wanted → match, best < low → -1, else -2.",
    ),
    mistakes=(
        Mistake("best anchors are not kept below `high`: small objects go without", _never_best),
        Mistake("there is no ignored band: all that is not positive is background", _no_band),
        Mistake("of several anchors that overlap a box alike, only the first is kept", _one_best),
        Mistake("a best anchor is forced on the box it is best for, though it overlaps another one more", _forced),
        Mistake("a box that no anchor overlaps takes them all: their best, 0, is reached by each", _zero_is_best),
        Mistake("an IoU of exactly `high` is not taken (> for >=)", _over_high),
        Mistake("an IoU of exactly `low` is background (<= for <)", _up_to_low),
        Mistake("it fails where an image has no box", _no_empty),
        Mistake("0.7 and 0.3 stand in the code, whatever `high` and `low` are", _constants),
        Mistake("of two boxes that an anchor overlaps alike it takes the last", _reversed),
    ),
)


def _encode_cases(generator: torch.Generator) -> Iterator[Case]:
    anchor = xyxy((0, 0, 10, 20))
    yield case("a box that is the anchor", anchor, anchor)
    yield case("a box moved right by half the anchor's width", xyxy((5, 0, 15, 20)), anchor)
    yield case("a box moved down", xyxy((0, 5, 10, 25)), anchor)
    yield case("a box twice as wide, about the same centre", xyxy((-5, 0, 15, 20)), anchor)
    yield case("a box half as tall, about the same centre", xyxy((0, 5, 10, 15)), anchor)
    yield case("one that is moved and grown", xyxy((3, 7, 43, 17)), anchor)
    yield case("with weights", xyxy((3, 7, 43, 17)), anchor, (10.0, 20.0, 5.0, 2.0))
    yield case("many boxes and as many anchors", boxes(generator, 9), boxes(generator, 9))
    yield case("none", torch.empty(0, 4), torch.empty(0, 4))
    some = boxes(generator, 12, torch.float64).reshape(3, 4, 4), boxes(generator, 12, torch.float64).reshape(3, 4, 4)
    yield case("three dimensions, float64", *some)


def _sides(box: Tensor) -> tuple[Tensor, Tensor]:
    side = box[..., 2:] - box[..., :2]
    return box[..., :2] + side / 2, side


def _joined(shift: Tensor, growth: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return torch.cat([shift, growth], -1) * shift.new_tensor(weights)


def _no_log(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / extent, side / extent, weights)


def _in_pixels(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined(center - anchor, (side / extent).log(), weights)


def _by_box(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / side, (side / extent).log(), weights)


def _from_corner(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (_, side), (_, extent) = _sides(box), _sides(anchors)
    return _joined((box[..., :2] - anchors[..., :2]) / extent, (side / extent).log(), weights)


def _other_way(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return encode_boxes(anchors, box, weights)


def _x_for_y(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined(((center - anchor) / extent).flip(-1), (side / extent).log().flip(-1), weights)


def _by_width(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / extent[..., :1], (side / extent).log(), weights)


def _no_weights(box: Tensor, anchors: Tensor, weights: Any = None) -> Tensor:
    return encode_boxes(box, anchors)


def _divided(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return encode_boxes(box, anchors) / box.new_tensor(weights)


def _log_two(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / extent, (side / extent).log2(), weights)


ENCODE = Exercise(
    "encode_boxes",
    lesson=4,
    minutes=10,
    reference=encode_boxes,
    cases=_encode_cases,
    library=("torchvision.models.detection._utils.BoxCoder", "torchvision.models.detection._utils.encode_boxes"),
    hints=(
        "“My dx is ten times too large.” A shift of 5 pixels is much for a small anchor and little for a large one. By what "
        "must you divide it?",
        "“A box moved by nothing, and dx is not 0.” Centres are compared, not corners: a box that grew about its centre has "
        "not moved.",
        "“Nearly there.” side = boxes[..., 2:] - boxes[..., :2]; center = boxes[..., :2] + side / 2, and the same for the "
        "anchors. torch.cat([(center - anchor_center) / anchor_side, (side / anchor_side).log()], -1), times the weights.",
    ),
    mistakes=(
        Mistake("the growth is the plain ratio, not its logarithm", _no_log),
        Mistake("the shift is in pixels, not in sides of the anchor", _in_pixels),
        Mistake("the shift is divided by the side of the box, not of the anchor", _by_box),
        Mistake("corners are compared, not centres", _from_corner),
        Mistake("box and anchor are exchanged", _other_way),
        Mistake("x and y are swapped", _x_for_y),
        Mistake("both shifts are divided by the width: dy belongs to the height", _by_width),
        Mistake("the weights are not used", _no_weights),
        Mistake("it divides by the weights: that is what decoding does", _divided),
        Mistake("the logarithm has the base 2", _log_two),
    ),
)

EXERCISES = (MATCH, ENCODE)
