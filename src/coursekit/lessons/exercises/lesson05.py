"""05 · The RPN."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torchvision import ops

from coursekit.detector import box_iou, nms
from coursekit.lessons.exercise import Case, Exercise, Mistake, case
from coursekit.lessons.exercises.draw import clusters, xyxy

CHAIN = xyxy((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # IoU of neighbours 0.43, of the ends 0.11


def _nms_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two that are far apart", xyxy((0, 0, 10, 10), (50, 50, 60, 60)), torch.tensor([0.9, 0.8]), 0.5)
    yield case(
        "two that are the same, the second surer", xyxy((0, 0, 9, 9), (0, 0, 9, 9)), torch.tensor([0.2, 0.8]), 0.5
    )
    yield case("a chain of three: the first drops the second", CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4)
    yield case("the same chain, the middle one surest", CHAIN, torch.tensor([0.7, 0.9, 0.8]), 0.4)
    yield case(
        "two of one score: the first comes first", xyxy((0, 0, 9, 9), (1, 0, 10, 9)), torch.tensor([0.5, 0.5]), 0.5
    )
    yield case("far apart, two of one score", xyxy((0, 0, 9, 9), (50, 0, 59, 9)), torch.tensor([0.5, 0.5]), 0.5)
    halves = xyxy((0, 0, 10, 10), (0, 0, 10, 5))
    yield case("an IoU that is exactly the threshold", halves, torch.tensor([0.9, 0.8]), 0.5)
    yield case("scores below 0, as logits are", CHAIN, torch.tensor([-3.0, -1.0, -2.0]), 0.4)
    yield case("a threshold of 0, and two that touch", xyxy((0, 0, 5, 5), (5, 0, 9, 5)), torch.tensor([0.9, 0.8]), 0.0)
    yield case("one box", xyxy((0, 0, 10, 10)), torch.tensor([0.3]), 0.5)
    yield case("none", torch.empty(0, 4), torch.empty(0), 0.5)
    yield case("thirty in clusters", *clusters(generator, 3, 10), 0.6)
    yield case("thirty in clusters, a low threshold", *clusters(generator, 6, 5), 0.3)
    found, scores = clusters(generator, 20, 5)
    yield case("a hundred, many of one score", found, (scores * 10).round() / 10, 0.5)
    yield case("a hundred in float64", found.double(), scores.double(), 0.7)


def _suppress(boxes: Tensor, scores: Tensor, threshold: float, order: Tensor, chained: bool = True) -> Tensor:
    overlaps = (box_iou(boxes[order], boxes[order]) > threshold).triu(1)
    if not chained:
        return order[~overlaps.any(0)]
    kept = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if kept[row]:
            kept &= ~overlaps[row]
    return order[kept]


def _best_first(scores: Tensor) -> Tensor:
    return scores.argsort(descending=True, stable=True)


def _one_shot(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return _suppress(boxes, scores, threshold, _best_first(scores), chained=False)


def _unsorted(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return _suppress(boxes, scores, threshold, torch.arange(len(boxes)))


def _worst_first(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return _suppress(boxes, scores, threshold, scores.argsort(stable=True))


def _or_equal(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return nms(boxes, scores, threshold - 1e-6)


def _by_position(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return nms(boxes, scores, threshold).sort()[0]


def _ranks(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return torch.where(torch.isin(_best_first(scores), nms(boxes, scores, threshold)))[0]


def _the_boxes(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return boxes[nms(boxes, scores, threshold)]


def _a_mask(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return torch.isin(torch.arange(len(boxes)), nms(boxes, scores, threshold))


def _last_of_equals(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return _suppress(boxes, scores, threshold, scores.argsort(stable=True).flip(0))


def _positive_only(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    kept = nms(boxes, scores, threshold)
    return kept[scores[kept] > 0]


def _one_best(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order = _best_first(scores)
    if not len(order):
        return order
    apart = box_iou(boxes[order[:1]], boxes[order])[0] <= threshold
    apart[0] = True
    return order[apart]


NMS = Exercise(
    "nms",
    lesson=5,
    minutes=20,
    reference=nms,
    cases=_nms_cases,
    library=("torchvision.ops.nms", "torchvision.ops.batched_nms"),
    twin=ops.nms,
    hints=(
        "“It drops too many.” Three boxes in a chain: the first overlaps the second, the second the third, the first not the "
        "third. The first drops the second. Who is left to drop the third?",
        "“The positions are wrong.” You sorted the boxes, so your positions are those among the sorted ones. order[…] leads "
        "back; and of equal scores the first stays first: argsort(descending=True, stable=True).",
        "“Nearly there.” order = …; kept = []; while len(order): best = order[0]; kept.append(best); rest = order[1:]; then "
        "order = those of rest whose box_iou with boxes[best] is not above the threshold. In the end torch.stack(kept), and "
        "for no boxes an empty int64 tensor.",
    ),
    mistakes=(
        Mistake("one-shot suppression: a box that was dropped itself still drops others", _one_shot),
        Mistake("the boxes are not sorted by score", _unsorted),
        Mistake("it begins with the least sure box", _worst_first),
        Mistake("an IoU of exactly the threshold is dropped (>= for >)", _or_equal),
        Mistake("the positions come out sorted by place, not best first", _by_position),
        Mistake("positions among the sorted boxes, not among those that came in", _ranks),
        Mistake("it gives the boxes, not their positions", _the_boxes),
        Mistake("it gives a mask, not positions", _a_mask),
        Mistake("of equal scores the last comes first", _last_of_equals),
        Mistake("scores below 0 are dropped: they may be logits", _positive_only),
        Mistake("only the best box of all drops others", _one_best),
    ),
)

EXERCISES = (NMS,)
