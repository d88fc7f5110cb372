"""04 · Anchors."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import box_iou, decode_boxes, encode_boxes, make_anchors, match_anchors, sample_balanced
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy
from coursekit.lessons.other_device import anywhere, elsewhere

BACKGROUND, IGNORED = -1, -2
ROW = xyxy(
    (0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 20, 10), (50, 50, 60, 60)
)  # a box at 0 overlaps them by 1, 1/3, 0, 0


Pair = tuple[int, int]
Floats = Sequence[float]


def _make_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one cell with one square", (1, 1), (8, 8), (16,), (1.0,))
    yield case("two cells side by side", (1, 2), (8, 8), (16,), (1.0,))
    yield case("two cells one above the other", (2, 1), (8, 8), (16,), (1.0,))
    yield case("two by two cells", (2, 2), (8, 8), (16,), (1.0,))
    yield case("strides that differ down and across", (2, 2), (8, 10), (16,), (1.0,))
    yield case("a shape four times as tall as wide", (1, 1), (8, 8), (16,), (4.0,))
    yield case("a wide shape and a tall one", (1, 1), (8, 8), (16,), (0.25, 4.0))
    yield case("two sizes", (1, 1), (8, 8), (16, 32), (1.0,))
    yield case("two sizes, two ratios", (1, 1), (8, 8), (16, 32), (1.0, 4.0))
    yield case("two cells, two ratios", (1, 2), (8, 8), (16,), (1.0, 4.0))
    yield case("corners that fall between two pixels", (1, 1), (8, 8), (15,), (1.0,))
    yield case("shapes whose sides are no whole numbers", (1, 1), (8, 8), (20,), (0.5, 2.0))
    yield case("sizes and ratios as lists", (1, 3), (4, 4), [6.0, 10.0], [1.0])
    yield case("a whole level", (5, 7), (16, 16), (24, 40, 64), (0.5, 1.0, 2.0))


def _corners(grid: Pair, stride: Pair) -> Tensor:
    """(H, W, 1, 4) float32: where the cells' centres lie, row by row."""
    down, across = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    down, across = down * float(stride[0]), across * float(stride[1])
    return torch.stack([across, down, across, down], -1)[:, :, None]


def _shapes(sizes: Floats, ratios: Floats) -> Tensor:
    """(A, 4) float32: the anchors about (0, 0)."""
    return make_anchors((1, 1), (1, 1), sizes, ratios)


def _column_by_column(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return (_corners(grid, stride).transpose(0, 1) + _shapes(sizes, ratios)).reshape(-1, 4)


def _shape_by_shape(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return (_corners(grid, stride) + _shapes(sizes, ratios)).permute(2, 0, 1, 3).reshape(-1, 4)


def _size_by_size(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    shapes = _shapes(sizes, ratios).reshape(len(ratios), len(sizes), 4).transpose(0, 1).reshape(-1, 4)
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def _width_over_height(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, [1 / one for one in ratios])


def _no_root(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, [one**2 for one in ratios])


def _only_taller(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    sides = [(size, size * ratio) for ratio in ratios for size in sizes]
    shapes = (torch.tensor([(-w, -h, w, h) for w, h in sides], dtype=torch.float32) / 2).round()
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def _in_the_middle(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    half = torch.tensor([stride[1] / 2, stride[0] / 2] * 2)
    return make_anchors(grid, stride, sizes, ratios) + half


def _strides_exchanged(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride[::-1], sizes, ratios)


def _no_stride(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, (1, 1), sizes, ratios)


def _not_rounded(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    sides = [(size / ratio**0.5, size * ratio**0.5) for ratio in ratios for size in sizes]
    shapes = torch.tensor([(-w, -h, w, h) for w, h in sides]) / 2
    return (_corners(grid, stride) + shapes).reshape(-1, 4)


def _twice_as_large(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, [2 * size for size in sizes], ratios)


def _cut_at_0(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios).clamp(min=0)


def _y_before_x(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios)[:, [1, 0, 3, 2]]


def _whole_numbers(grid: Pair, stride: Pair, sizes: Floats, ratios: Floats) -> Tensor:
    return make_anchors(grid, stride, sizes, ratios).to(torch.int64)


MAKE = Exercise(
    "make_anchors",
    lesson=4,
    minutes=25,
    reference=make_anchors,
    cases=_make_cases,
    library=("torchvision.models.detection.anchor_utils.AnchorGenerator",),
    hints=(
        "“Right anchors, wrong order.” Read the order aloud as four loops, the outermost first: rows, cells of a row, "
        "ratios, sizes. The last one counts fastest. Which axes must your tensor have, from left to right, before reshape?",
        "“My tall anchors have too much area.” Height over width is r, height times width is size². Multiply the two "
        "equations: height² = r · size². So height = size · √r. And the width?",
        "“Nearly there.” shapes: (A, 4), half sides with signs, rounded. torch.meshgrid(rows · stride[0], columns · "
        'stride[1], indexing="ij") gives down and across, each (H, W); torch.stack([across, down, across, down], -1) is '
        "(H, W, 4). Give it an axis for the shapes: corners[:, :, None] + shapes is (H, W, A, 4).",
    ),
    mistakes=(
        Mistake("the cells come column by column, not row by row", _column_by_column),
        Mistake("one shape in all cells, then the next one: all shapes of a cell must stand together", _shape_by_shape),
        Mistake("in a cell, size by size and not ratio by ratio", _size_by_size),
        Mistake("the ratio is taken as width over height", _width_over_height),
        Mistake("the square root of the ratio is missing", _no_root),
        Mistake("a taller shape is as wide as the square: its area grows with the ratio", _only_taller),
        Mistake("the centres lie in the middle of the cells; here the first lies on the pixel (0, 0)", _in_the_middle),
        Mistake("the strides down and across are exchanged", _strides_exchanged),
        Mistake("cells are counted, not multiplied by the stride", _no_stride),
        Mistake("the corners are not rounded", _not_rounded),
        Mistake("the whole side is laid to each side of the centre: twice too large", _twice_as_large),
        Mistake("anchors are cut at 0; they may reach beyond the image", _cut_at_0),
        Mistake("y stands before x", _y_before_x),
        Mistake("whole numbers (int64) come out, not float32", _whole_numbers),
    ),
)


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
    yield elsewhere(ROW, ROW)
    yield elsewhere(ROW, torch.empty(0, 4))


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


def _never_best(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    return match_anchors(anchors, truth, high, low, False)


def _no_band(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    matches = match_anchors(anchors, truth, high, low, allow_low_quality_matches)
    return torch.where(matches == IGNORED, BACKGROUND, matches)


def _one_best(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    if not len(truth):
        return _none(anchors)
    overlap = box_iou(truth, anchors)
    wanted = overlap.amax(0) >= high
    return _labelled(overlap, wanted | _own_best(overlap) if allow_low_quality_matches else wanted, low)


def _forced(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    """Each best anchor is given to the box that it is best for, even where it overlaps another more."""
    if not len(truth) or not allow_low_quality_matches:
        return match_anchors(anchors, truth, high, low, allow_low_quality_matches)
    overlap = box_iou(truth, anchors)
    matches = match_anchors(anchors, truth, high, low, False)
    for row, values in enumerate(overlap):
        if values.amax() > 0:
            matches[values == values.amax()] = row
    return matches


def _argmax(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    """The first best anchor of each box is given to it, even where it overlaps another more, and where that best is 0."""
    matches = match_anchors(anchors, truth, high, low, False)
    if allow_low_quality_matches and len(truth):
        matches[box_iou(truth, anchors).argmax(1)] = torch.arange(len(truth))
    return matches


def _argmax_above_0(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    matches = match_anchors(anchors, truth, high, low, False)
    if allow_low_quality_matches and len(truth):
        most, where = box_iou(truth, anchors).max(1)
        matches[where[most > 0]] = torch.arange(len(truth))[most > 0]
    return matches


def _zero_is_best(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    if not len(truth):
        return _none(anchors)
    overlap = box_iou(truth, anchors)
    is_best = (overlap >= overlap.amax(1, keepdim=True)).any(0)
    wanted = overlap.amax(0) >= high
    return _labelled(overlap, wanted | is_best if allow_low_quality_matches else wanted, low)


def _over_high(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    return match_anchors(anchors, truth, high + 1e-6, low, allow_low_quality_matches)


def _up_to_low(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    return match_anchors(anchors, truth, high, low + 1e-6, allow_low_quality_matches)


def _no_empty(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    if not len(truth):
        raise IndexError("max(): Expected reduction dim 0 to have non-zero size.")
    return match_anchors(anchors, truth, high, low, allow_low_quality_matches)


def _constants(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    return match_anchors(anchors, truth, 0.7, 0.3, allow_low_quality_matches)


def _reversed(
    anchors: Tensor, truth: Tensor, high: float = 0.7, low: float = 0.3, allow_low_quality_matches: bool = True
) -> Any:
    matches = match_anchors(anchors, truth.flip(0), high, low, allow_low_quality_matches)
    return torch.where(matches >= 0, len(truth) - 1 - matches, matches)


MATCH = Exercise(
    "match_anchors",
    lesson=4,
    minutes=30,
    reference=match_anchors,
    cases=_match_cases,
    call=anywhere,
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
        Mistake(
            "argmax forces one anchor on each box: also one that overlaps another box more, or overlaps it by 0",
            _argmax,
        ),
        Mistake("argmax forces one anchor on each box: also one that overlaps another box more", _argmax_above_0),
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
    yield case("float16", xyxy((5, 0, 15, 20)).half(), anchor.half(), (10.0, 10.0, 5.0, 5.0))
    yield elsewhere(anchor, anchor, (10.0, 10.0, 5.0, 5.0))


def _sides(box: Tensor) -> tuple[Tensor, Tensor]:
    side = box[..., 2:] - box[..., :2]
    return box[..., :2] + side / 2, side


def _joined(shift: Tensor, growth: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return torch.cat([shift, growth], -1) * shift.new_tensor(weights)


def _no_log(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / extent, side / extent, weights)


def _ratio_less_1(box: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    (center, side), (anchor, extent) = _sides(box), _sides(anchors)
    return _joined((center - anchor) / extent, side / extent - 1, weights)


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
    call=anywhere,
    library=("torchvision.models.detection._utils.BoxCoder", "torchvision.models.detection._utils.encode_boxes"),
    hints=(
        "“My dx is ten times too large.” A shift of 5 pixels is much for a small anchor and little for a large one. By what "
        "must you divide it?",
        "“A box moved by nothing, and dx is not 0.” Centres are compared, not corners: a box that grew about its centre has "
        "not moved.",
        "“Nearly there.” side = boxes[..., 2:] - boxes[..., :2]; center = boxes[..., :2] + side / 2, and the same for the "
        "anchors. torch.cat([(center - anchor_center) / anchor_side, (side / anchor_side).log()], -1), times "
        "boxes.new_tensor(weights).",
    ),
    mistakes=(
        Mistake("the growth is the plain ratio, not its logarithm", _no_log),
        Mistake("the growth is the ratio less 1, not its logarithm", _ratio_less_1),
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


def _decode_cases(generator: torch.Generator) -> Iterator[Case]:
    anchor = xyxy((0, 0, 10, 20))
    yield case("no difference: the anchor itself", xyxy((0, 0, 0, 0)), anchor)
    yield case("a shift to the right by half the anchor's width", xyxy((0.5, 0, 0, 0)), anchor)
    yield case("a shift down", xyxy((0, 0.5, 0, 0)), anchor)
    yield case("twice as wide: dw is log 2", xyxy((0, 0, math.log(2), 0)), anchor)
    yield case("half as tall: dh is log ½", xyxy((0, 0, 0, math.log(0.5))), anchor)
    yield case("moved and grown", xyxy((0.3, -0.2, 0.4, 0.1)), anchor)
    yield case("with weights", xyxy((3, -4, 2, 1)), anchor, (10.0, 20.0, 5.0, 2.0))
    yield case("an anchor far from the corner", xyxy((0.5, 0, math.log(2), 0)), xyxy((100, 50, 110, 70)))
    yield case("a growth beyond the cap", xyxy((0, 0, 5, 0)), anchor)
    yield case("a growth that exp can't take", xyxy((0, 0, 1000, 1000)), anchor)
    yield case("a growth that the weights bring below the cap", xyxy((0, 0, 10, 10)), anchor, (10.0, 10.0, 5.0, 5.0))
    yield case("a far shift, which nothing caps", xyxy((9, -9, 0, 0)), anchor)
    yield case("a box shrunk to nearly nothing, which nothing caps either", xyxy((0, 0, -6, -6)), anchor)
    yield case("none", torch.empty(0, 4), torch.empty(0, 4))
    yield case("many", torch.randn(9, 4, generator=generator), boxes(generator, 9))
    several = torch.randn(5, 3, 4, generator=generator), boxes(generator, 5)[:, None]
    yield case("three boxes an anchor, (5, 3, 4) and (5, 1, 4)", *several)
    yield case(
        "float64", torch.randn(6, 4, generator=generator, dtype=torch.float64), boxes(generator, 6, torch.float64)
    )
    yield elsewhere(anchor, anchor, (10.0, 10.0, 5.0, 5.0))


CAP = math.log(1000 / 16)


def _decoded(center: Tensor, half: Tensor) -> Tensor:
    return torch.cat([center - half, center + half], -1)


def _taken(deltas: Tensor, anchors: Tensor, weights: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The anchors' centre and side; shift and growth, without a cap."""
    center, side = _sides(anchors)
    deltas = deltas / deltas.new_tensor(weights)
    return center, side, deltas[..., :2], deltas[..., 2:]


def _uncapped(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.exp() / 2)


def _capped_early(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes(torch.cat([deltas[..., :2], deltas[..., 2:].clamp(max=CAP)], -1), anchors, weights)


def _all_capped(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes((deltas / deltas.new_tensor(weights)).clamp(max=CAP), anchors)


def _capped_below(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(-CAP, CAP).exp() / 2)


def _capped_at_1000_16(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=1000 / 16).exp() / 2)


def _ratio(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=1000 / 16) / 2)


def _shift_in_pixels(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift, side * growth.clamp(max=CAP).exp() / 2)


def _in_new_sides(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    grown = side * growth.clamp(max=CAP).exp()
    return _decoded(center + shift * grown, grown / 2)


def _grown_from_corner(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    _, side, shift, growth = _taken(deltas, anchors, weights)
    corner = anchors[..., :2] + shift * side
    return torch.cat([corner, corner + side * growth.clamp(max=CAP).exp()], -1)


def _whole_sides(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return _decoded(center + shift * side, side * growth.clamp(max=CAP).exp())


def _center_and_size(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    center, side, shift, growth = _taken(deltas, anchors, weights)
    return torch.cat([center + shift * side, side * growth.clamp(max=CAP).exp()], -1)


def _weights_unused(deltas: Tensor, anchors: Tensor, weights: Any = None) -> Tensor:
    return decode_boxes(deltas, anchors)


def _multiplied(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return decode_boxes(deltas * deltas.new_tensor(weights), anchors)


def _wrong_axis(deltas: Tensor, anchors: Tensor, weights: Any = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    if deltas.ndim != 2:
        raise RuntimeError("The size of tensor a (2) must match the size of tensor b (4)")
    return decode_boxes(deltas, anchors, weights)


DECODE = Exercise(
    "decode_boxes",
    lesson=4,
    minutes=15,
    reference=decode_boxes,
    cases=_decode_cases,
    call=anywhere,
    library=("torchvision.models.detection._utils.BoxCoder",),
    hints=(
        "“With weights, my boxes are far off.” Undo what encoding did, last step first: it multiplied by the weights at the "
        "very end. So what comes first here?",
        "“Right, but for a huge dw.” exp(1000) is infinite. Cap dw and dh from above, after the division by the weights, at "
        "math.log(1000 / 16). Shifts, and shrinking, need no cap.",
        "“Nearly there.” side = anchors[..., 2:] - anchors[..., :2]; center = anchors[..., :2] + side / 2; the new centre is "
        "center + shift * side, the new side side * growth.clamp(max=…).exp(). Half of it goes to either side: torch.cat, "
        "along the last axis.",
    ),
    mistakes=(
        Mistake("growth is not capped: a large dw makes an infinite box", _uncapped),
        Mistake("growth is capped before it is divided by the weights", _capped_early),
        Mistake("shifts are capped, too", _all_capped),
        Mistake("shrinking is capped, too: only growth overflows", _capped_below),
        Mistake("the cap is 1000 / 16, not its logarithm: exp comes after it", _capped_at_1000_16),
        Mistake("growth is taken for the ratio, without exp", _ratio),
        Mistake("the shift is taken in pixels, not in sides of the anchor", _shift_in_pixels),
        Mistake("the shift is taken in sides of the new box, not of the anchor", _in_new_sides),
        Mistake("the box grows from its corner, not about its centre", _grown_from_corner),
        Mistake("the whole side goes to either side of the centre: twice too large", _whole_sides),
        Mistake("centre, width and height come out, not two corners", _center_and_size),
        Mistake("the weights are not used", _weights_unused),
        Mistake("it multiplies by the weights: that is what encoding does", _multiplied),
        Mistake("it counts on two dimensions: [:, 2:] where [..., 2:] is needed", _wrong_axis),
    ),
)


def _sample_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two positives, many negatives", _matches(2, 18, 0), 8, 0.5)
    yield case("more positives than their share", _matches(9, 14, 0), 8, 0.5)
    yield case("a share of a quarter", _matches(9, 14, 0), 8, 0.25)
    yield case("ignored anchors among them", _matches(3, 12, 8), 10, 0.5)
    yield case("an odd count: half of 7 is at most 3", _matches(9, 14, 0), 7, 0.5)
    yield case("no positive", _matches(0, 18, 5), 8, 0.5)
    yield case("no negative", _matches(12, 0, 5), 8, 0.5)
    yield case("fewer anchors than wanted", _matches(3, 4, 2), 100, 0.5)
    yield case("only ignored ones", _matches(0, 0, 6), 8, 0.5)
    yield case("one object only, number 0", torch.tensor([0, -1, 0, -1, -1, 0, 0, -2]), 4, 0.5)
    mixed = torch.cat([_matches(60, 900, 90), torch.full((20,), 7)])
    yield case("many, shuffled", mixed[torch.randperm(len(mixed), generator=generator)], 64, 0.5)


def _matches(positive: int, negative: int, ignored: int) -> Tensor:
    """That many anchors of each kind, first those that match the objects 0, 1, 2, 0, 1, …"""
    parts = [torch.arange(positive) % 3, torch.full((negative,), BACKGROUND), torch.full((ignored,), IGNORED)]
    return torch.cat(parts)


def _use_sampler(answer: Answer, matches: Tensor, count: int, positive_fraction: float) -> Any:
    """What must hold of a sample, whatever was drawn: sizes, kinds, and whether chance decides."""

    def draw(seed: int) -> list[Tensor]:
        positives, negatives = answer(matches, count, positive_fraction, torch.Generator().manual_seed(seed))
        return [positives, negatives]

    draws = [draw(seed) for seed in range(25)]
    answer(matches, count, positive_fraction)
    found: dict[str, Any] = {}
    for place, (name, kind) in enumerate([("positives", matches >= 0), ("negatives", matches == BACKGROUND)]):
        ones = [one[place] for one in draws]
        found[f"how many {name}"] = len(ones[0])
        found[f"dtype of the {name}"] = str(ones[0].dtype)
        found[f"all {name} are of that kind"] = all(bool(kind[one].all()) for one in ones)
        found[f"no {name} twice"] = all(len(one.unique()) == len(one) for one in ones)
        found[f"other {name} with other seeds"] = len({tuple(sorted(one.tolist())) for one in ones}) > 1
    again = [draw(seed) for seed in range(25)]
    same = [torch.equal(a, b) for one, two in zip(draws, again, strict=True) for a, b in zip(one, two, strict=True)]
    return found | {"the same with the same seed": all(same)}


def _drawn(
    positives: Tensor, negatives: Tensor, most: int, others: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    some = torch.randperm(len(positives), generator=generator)[:most]
    return positives[some], negatives[torch.randperm(len(negatives), generator=generator)[:others]]


def _kinds(matches: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(matches >= 0)[0], torch.where(matches == BACKGROUND)[0]


def _ignored_too(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches.clamp(min=BACKGROUND), batch_size_per_image, positive_fraction, generator)


def _without_first(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    positives, negatives = torch.where(matches > 0)[0], torch.where(matches == BACKGROUND)[0]
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


def _no_share(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches, batch_size_per_image, 1.0, generator)


def _not_filled(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    most = int(batch_size_per_image * positive_fraction)
    return _drawn(*_kinds(matches), most, batch_size_per_image - most, generator)


def _as_many_of_each(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, most, generator)


def _first_ones(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return positives[:most], negatives[: batch_size_per_image - most]


def _put_back(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    if not len(positives) or not len(negatives):
        return sample_balanced(matches, batch_size_per_image, positive_fraction, generator)
    some = torch.randint(len(positives), (most,), generator=generator)
    return positives[some], negatives[
        torch.randint(len(negatives), (batch_size_per_image - most,), generator=generator)
    ]


def _among_their_kind(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), int(batch_size_per_image * positive_fraction))
    return _drawn(
        torch.arange(len(positives)), torch.arange(len(negatives)), most, batch_size_per_image - most, generator
    )


def _own_generator(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches, batch_size_per_image, positive_fraction)


def _exchanged(matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None) -> Any:
    return sample_balanced(matches, batch_size_per_image, positive_fraction, generator)[::-1]


def _share_rounded_up(
    matches: Tensor, batch_size_per_image: int, positive_fraction: float, generator: Any = None
) -> Any:
    positives, negatives = _kinds(matches)
    most = min(len(positives), math.ceil(batch_size_per_image * positive_fraction))
    return _drawn(positives, negatives, most, batch_size_per_image - most, generator)


SAMPLE = Exercise(
    "sample_balanced",
    lesson=4,
    minutes=10,
    reference=sample_balanced,
    cases=_sample_cases,
    call=_use_sampler,
    library=("torchvision.models.detection._utils.BalancedPositiveNegativeSampler",),
    hints=(
        "“Too few in all.” Where there are only 3 positives, who fills the places they leave free? Work out how many "
        "positives you take before you decide on the negatives.",
        "“Some are of the wrong kind.” Three kinds: from 0 on a positive, -1 a negative, -2 neither. torch.where(mask)[0] "
        "gives the positions of one kind.",
        "“Nearly there.” most = min(len(positives), int(count * positive_fraction)); torch.randperm(n, generator=generator)"
        "[:most] draws most different numbers below n; use them to index positives. Then the same for count - most "
        "negatives.",
    ),
    mistakes=(
        Mistake("ignored anchors (-2) are drawn as background", _ignored_too),
        Mistake("the anchors of object 0 are left out (> 0 for >= 0)", _without_first),
        Mistake("positives may fill the whole sample: their share is not kept", _no_share),
        Mistake("background does not fill up the places that positives leave free", _not_filled),
        Mistake("only as many negatives as positives are drawn", _as_many_of_each),
        Mistake("chance has no say: the same ones each time, such as the first, which lie in one corner", _first_ones),
        Mistake("some are drawn twice (randint for randperm)", _put_back),
        Mistake("positions among the positives come out, not positions among all anchors", _among_their_kind),
        Mistake("the generator is not used: a run can't be repeated", _own_generator),
        Mistake("negatives come first", _exchanged),
        Mistake("the share of positives is rounded up: it is the most there may be", _share_rounded_up),
    ),
)

EXERCISES = (MAKE, MATCH, ENCODE, DECODE, SAMPLE)
