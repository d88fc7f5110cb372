"""00 · Start here."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.detector import box_iou, xywh_to_xyxy
from coursekit.lessons.exercise import Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy


def _xywh_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one box", torch.tensor([[10.0, 20.0, 30.0, 40.0]]))
    yield case("whole numbers, and a box of no width", torch.tensor([[5, 6, 0, 1], [1, 2, 3, 4]]))
    yield case("a list of boxes", 100 * torch.rand(7, 4, generator=generator))
    yield case("no box at all", torch.empty(0, 4))
    yield case("a single box without a list around it", 100 * torch.rand(4, generator=generator))
    yield case("boxes in three dimensions", 100 * torch.rand(2, 3, 4, generator=generator))
    yield case("float64", 100 * torch.rand(5, 4, generator=generator, dtype=torch.float64))


def _unchanged(box: Tensor) -> Tensor:
    return box.clone()


def _crossed(box: Tensor) -> Tensor:
    x, y, w, h = box.unbind(-1)
    return torch.stack([x, y, x + h, y + w], -1)


def _swapped(box: Tensor) -> Tensor:
    x, y, w, h = box.unbind(-1)
    return torch.stack([y, x, y + h, x + w], -1)


def _last_pixel(box: Tensor) -> Tensor:
    x, y, w, h = box.unbind(-1)
    return torch.stack([x, y, x + w - 1, y + h - 1], -1)


def _from_center(box: Tensor) -> Tensor:
    x, y, w, h = box.unbind(-1)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)


def _half_way(box: Tensor) -> Tensor:
    x, y, w, h = box.unbind(-1)
    return torch.stack([x, y, x + w / 2, y + h / 2], -1)


def _in_place(box: Tensor) -> Tensor:
    box[..., 2:] += box[..., :2]
    return box


def _lists_only(box: Tensor) -> Tensor:
    return torch.stack([box[:, 0], box[:, 1], box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]], 1)


XYWH = Exercise(
    "xywh_to_xyxy",
    lesson=0,
    minutes=5,
    reference=xywh_to_xyxy,
    cases=_xywh_cases,
    library=("torchvision.ops.box_convert",),
    hints=(
        "“My boxes come out mirrored, or far too small.” Width and height are no coordinates. What must you add a width "
        "to, to get one?",
        "“It works for many boxes, but not for one.” boxes[:, 2] needs two dimensions; boxes[..., 2] takes the third "
        "number of the last one, whatever the shape. boxes.unbind(-1) gives all four at once.",
        "“The check says that I changed the input.” boxes[..., 2] += … writes into the tensor that you were given. Make a "
        "new one: torch.stack([left, top, …, …], dim=-1).",
    ),
    mistakes=(
        Mistake("nothing is converted: width and height still stand where the second corner should", _unchanged),
        Mistake("the width is added to the top, and the height to the left", _crossed),
        Mistake("x and y are swapped", _swapped),
        Mistake("the last pixel is counted out (x + w - 1): COCO's boxes have edges, not last pixels", _last_pixel),
        Mistake("the corner is taken for the centre", _from_center),
        Mistake("half of the width and height is added, not all of it", _half_way),
        Mistake("the tensor that came in is written to", _in_place),
        Mistake("only a list of boxes works, not a single one", _lists_only),
    ),
)


def _iou_cases(generator: torch.Generator) -> Iterator[Case]:
    unit = xyxy((0, 0, 10, 10))
    yield case("a box with itself", unit, unit)
    yield case("half of it moved out", unit, xyxy((5, 0, 15, 10)))
    yield case("two that are apart in x and in y", unit, xyxy((20, 20, 30, 30)))
    yield case("two that are apart in x only", unit, xyxy((20, 0, 30, 10)))
    yield case("two that are apart in y only", unit, xyxy((0, 20, 10, 30)))
    yield case("two that touch", unit, xyxy((10, 0, 20, 10)))
    yield case("one inside the other", unit, xyxy((2, 3, 4, 9)))
    yield case("wide and tall ones, left of 0", xyxy((-8, 2, 20, 6)), xyxy((1, -30, 3, 40)))
    yield case("boxes smaller than a pixel", xyxy((0, 0, 0.5, 0.5)), xyxy((0.25, 0, 0.75, 0.5)))
    yield case("two boxes of no area, in one place", xyxy((3, 3, 3, 3)), xyxy((3, 3, 3, 3), (0, 0, 9, 9)))
    yield case("two boxes with three", boxes(generator, 2), boxes(generator, 3))
    yield case("none with three", torch.empty(0, 4), boxes(generator, 3))
    yield case("three with none", boxes(generator, 3), torch.empty(0, 4))
    yield case("many, in float64", boxes(generator, 40, torch.float64), boxes(generator, 30, torch.float64))


def _corners(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sides of what both share, both areas."""
    sides = torch.minimum(first[:, None, 2:], second[:, 2:]) - torch.maximum(first[:, None, :2], second[:, :2])
    areas = [(one[:, 2:] - one[:, :2]).prod(1) for one in (first, second)]
    return sides.clamp(min=0), sides, areas[0][:, None], areas[1]


def _ratio(both: Tensor, rest: Tensor) -> Tensor:
    return both / rest.clamp(min=torch.finfo(rest.dtype).tiny)


def _no_clamp(first: Tensor, second: Tensor) -> Tensor:
    _, sides, one, other = _corners(first, second)
    return _ratio(sides.prod(2), one + other - sides.prod(2))


def _clamped_late(first: Tensor, second: Tensor) -> Tensor:
    _, sides, one, other = _corners(first, second)
    both = sides.prod(2).clamp(min=0)
    return _ratio(both, one + other - both)


def _no_minus(first: Tensor, second: Tensor) -> Tensor:
    sides, _, one, other = _corners(first, second)
    return _ratio(sides.prod(2), one + other)


def _over_smaller(first: Tensor, second: Tensor) -> Tensor:
    sides, _, one, other = _corners(first, second)
    return _ratio(sides.prod(2), torch.minimum(one, other))


def _over_first(first: Tensor, second: Tensor) -> Tensor:
    sides, _, one, _other = _corners(first, second)
    return _ratio(sides.prod(2), one.expand_as(sides[..., 0]))


def _unguarded(first: Tensor, second: Tensor) -> Tensor:
    sides, _, one, other = _corners(first, second)
    return sides.prod(2) / (one + other - sides.prod(2))


def _large_epsilon(first: Tensor, second: Tensor) -> Tensor:
    sides, _, one, other = _corners(first, second)
    return sides.prod(2) / (one + other - sides.prod(2) + 1e-2)


def _plus_one(first: Tensor, second: Tensor) -> Tensor:
    one, other = (torch.cat([box[:, :2], box[:, 2:] + 1], 1) for box in (first, second))
    return box_iou(one, other)


def _by_pairs(first: Tensor, second: Tensor) -> Tensor:
    count = min(len(first), len(second))
    return box_iou(first[:count], second[:count]).diagonal()


def _transposed(first: Tensor, second: Tensor) -> Tensor:
    return box_iou(second, first)


IOU = Exercise(
    "box_iou",
    lesson=0,
    minutes=15,
    reference=box_iou,
    cases=_iou_cases,
    library=(
        "torchvision.ops.box_iou",
        "torchvision.ops.generalized_box_iou",
        "torchvision.ops.boxes._box_inter_union",
    ),
    hints=(
        "“Two boxes that are far apart have an IoU.” Draw them. Where would their overlap begin, where would it end, and "
        "what is end minus begin? A length can't be negative.",
        "“I get the right numbers for one pair, but not for all with all.” first[:, None] has the shape (N, 1, 4): with "
        "second, (M, 4), every operation gives (N, M, …). torch.maximum of the left-top corners, torch.minimum of the "
        "right-bottom ones.",
        "“NaN came.” Two boxes without area: 0 / 0. sides = (end - begin).clamp(min=0); both = sides.prod(2); the union is "
        "area + area - both; clamp it by the smallest positive number, torch.finfo(union.dtype).tiny, before you divide.",
    ),
    mistakes=(
        Mistake("nothing is clamped: apart in x and in y, two negative lengths make a positive area", _no_clamp),
        Mistake("the area is clamped, not each side: apart in both axes, minus times minus is plus", _clamped_late),
        Mistake("what both share is counted twice: union = area + area - shared", _no_minus),
        Mistake("it divides by the smaller box, not by the union", _over_smaller),
        Mistake("it divides by the first box, not by the union", _over_first),
        Mistake("0 / 0 where neither box has any area", _unguarded),
        Mistake("the number against 0 / 0 is so large that it shows in small boxes", _large_epsilon),
        Mistake("a pixel is added to each side: COCO's boxes have edges, not last pixels", _plus_one),
        Mistake("each box is compared with one other, not with all", _by_pairs),
        Mistake("rows and columns are swapped: first by second was asked for", _transposed),
    ),
)

EXERCISES = (XYWH, IOU)
