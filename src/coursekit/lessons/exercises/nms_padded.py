"""Exercise 12.3: non-maximum suppression with shapes that don't depend on the numbers."""

from collections.abc import Iterator

import torch

from coursekit.detector import box_iou, nms
from coursekit.export.prepare import nms_padded
from coursekit.lessons.case_inputs import clusters, xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.fixed_shapes import in_graph
from coursekit.lessons.pretended_gpu import index_anywhere, on_a_gpu

CHAIN = xyxy((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # IoU of neighbors 0.43, of the ends 0.11
NOTHING = -torch.inf


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two boxes far apart, and three places", xyxy((0, 0, 9, 9), (50, 0, 59, 9)), numbers(0.9, 0.8), 0.5, 3)
    yield case("two equal boxes", xyxy((0, 0, 9, 9), (0, 0, 9, 9)), numbers(0.2, 0.8), 0.5, 2)
    yield case("a chain of three: the first drops the second", CHAIN, numbers(0.9, 0.8, 0.7), 0.4, 3)
    yield case("the same chain, the best in the middle", CHAIN, numbers(0.7, 0.9, 0.8), 0.4, 3)
    yield case(
        "three boxes in a chain, without numbers, as a graph is built", CHAIN, numbers(0.9, 0.8, 0.7), 0.4, 4, True
    )
    yield case("more boxes than places", xyxy((0, 0, 9, 9), (20, 0, 29, 9), (40, 0, 49, 9)), numbers(1, 3, 2), 0.5, 2)
    crowd = xyxy((0, 0, 10, 10), (1, 0, 11, 10), (30, 0, 40, 10))
    yield case("two places, and the two best boxes overlap", crowd, numbers(0.9, 0.8, 0.7), 0.5, 2)
    yield case("one box, four places", xyxy((3, 3, 9, 9)), numbers(0.3), 0.5, 4)
    yield case("a box that isn't there: its score is −∞", CHAIN, numbers(0.9, NOTHING, 0.7), 0.4, 3)
    yield case("no box is there: all scores are −∞", CHAIN, numbers(NOTHING, NOTHING, NOTHING), 0.4, 2)
    yield case("scores below 0, such as logits", CHAIN, numbers(-3, -1, -2), 0.4, 3)
    yield case("scores between −1 and 0", CHAIN, numbers(-0.6, -0.2, -0.4), 0.4, 3)
    yield case("large scores below 0", CHAIN, numbers(-3e9, -1e9, -2e9), 0.4, 3)
    yield case("two equal scores: the first comes first", xyxy((0, 0, 9, 9), (1, 0, 10, 9)), numbers(0.5, 0.5), 0.5, 2)
    yield case("an IoU of exactly the threshold", xyxy((0, 0, 10, 10), (0, 0, 10, 5)), numbers(0.9, 0.8), 0.5, 2)
    yield case("a box without area: its IoU with itself is 0", xyxy((3, 3, 3, 9), (0, 0, 9, 9)), numbers(2, 1), 0.5, 3)
    yield case("a threshold of 1", CHAIN[[0, 0]], numbers(0.8, 0.9), 1.0, 2)
    yield case("thirty boxes in clusters", *clusters(generator, 3, 10), 0.6, 20)
    many, scores = clusters(generator, 10, 4)
    yield case("forty boxes with many equal scores", many, (scores * 10).round() / 10, 0.5, 12)
    yield case("float64", many.double(), scores.double(), 0.3, 12)
    yield on_a_gpu(CHAIN, numbers(0.7, 0.9, 0.8), 0.4, 3)


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def call(answer, boxes, scores, threshold, count, in_a_graph=False):
    """Call an answer. In a graph, return what shape its result has."""
    if in_a_graph:
        return in_graph(lambda *tensors: answer(*tensors, threshold, count), boxes, scores)
    return index_anywhere(answer, boxes, scores, threshold, count)


# Wrong answers. Written as an intern would.


def greedy(boxes, scores, threshold, count, *, dropped=NOTHING, itself=True, real=NOTHING, drops=None):
    """Return the right answer, unless an argument says otherwise."""
    drops = box_iou(boxes, boxes) > threshold if drops is None else drops
    places, kept = torch.arange(len(boxes), device=boxes.device), []
    for _ in range(count):
        score, best = scores.max(0)
        kept.append(torch.where(score > real, best, -1))
        gone = drops[best] | (places == best) if itself else drops[best]
        scores = scores.masked_fill(gone, dropped)
    return torch.stack(kept)


def wrong_shorter(boxes, scores, threshold, count):
    kept = greedy(boxes, scores, threshold, count)
    return kept[kept >= 0]


def wrong_pads_with_0(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count).clamp(min=0)


def wrong_pads_with_count(boxes, scores, threshold, count):
    kept = greedy(boxes, scores, threshold, count)
    return torch.where(kept < 0, len(boxes), kept)


def wrong_pads_with_the_best(boxes, scores, threshold, count):
    kept = greedy(boxes, scores, threshold, count)
    return torch.where(kept < 0, kept[0], kept)


def wrong_never_pads(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, real=-float("nan"))


def wrong_looks_at_the_numbers(boxes, scores, threshold, count):
    kept = nms(boxes[scores > NOTHING], scores[scores > NOTHING], threshold)[:count]
    return torch.cat([torch.where(scores > NOTHING)[0][kept], kept.new_full((count - len(kept),), -1)])


def wrong_stops_when_nothing_is_left(boxes, scores, threshold, count):
    drops, kept = box_iou(boxes, boxes) > threshold, torch.full((count,), -1, device=boxes.device)
    for place in range(count):
        best = scores.argmax()
        if scores[best] == NOTHING:
            break
        kept[place] = best
        scores = scores.masked_fill(drops[best], NOTHING)
        scores[best] = NOTHING
    return kept


def wrong_one_shot(boxes, scores, threshold, count):
    order = scores.argsort(descending=True, stable=True)
    is_dropped = (box_iou(boxes[order], boxes[order]) > threshold).triu(1).any(0) | (scores[order] == NOTHING)
    return _first(order, ~is_dropped, count)


def _first(order, keep, count):
    """Return the first `count` of those to keep, padded with −1."""
    place = torch.where(keep, keep.cumsum(0) - 1, count).clamp(max=count)
    return order.new_full((count + 1,), -1).scatter(0, place, torch.where(place < count, order, -1))[:count]


def wrong_takes_the_best_first(boxes, scores, threshold, count):
    best = scores.topk(min(count, len(scores))).indices
    kept = greedy(boxes[best], scores[best], threshold, count)
    return torch.where(kept < 0, -1, best[kept])


def wrong_drops_at_the_threshold(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, drops=box_iou(boxes, boxes) >= threshold)


def wrong_keeps_all(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, drops=torch.eye(len(boxes), device=boxes.device) > 0)


def wrong_removed_by_its_own_iou(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, itself=False)


def wrong_dropped_is_minus_1(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, dropped=-1.0, real=-1.0)


def wrong_dropped_is_0(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, dropped=0.0, real=0.0)


def wrong_dropped_is_minus_a_million(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count, dropped=-1e6, real=-1e6)


def wrong_sorted_by_position(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count).sort().values


def wrong_positions_among_the_sorted(boxes, scores, threshold, count):
    order = scores.argsort(descending=True, stable=True)
    return greedy(boxes[order], scores[order], threshold, count)


def wrong_worst_first(boxes, scores, threshold, count):
    return greedy(boxes, torch.where(scores > NOTHING, -scores, NOTHING), threshold, count)


def wrong_last_of_ties_first(boxes, scores, threshold, count):
    kept = greedy(boxes.flip(0), scores.flip(0), threshold, count)
    return torch.where(kept < 0, -1, len(boxes) - 1 - kept)


def wrong_in_place(boxes, scores, threshold, count):
    kept = greedy(boxes, scores, threshold, count)
    for best in kept:
        scores.index_fill_(0, best.clamp(min=0)[None], NOTHING)
    return kept


def wrong_int32(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, count).int()


def wrong_mask(boxes, scores, threshold, count):
    kept = greedy(boxes, scores, threshold, count)
    return torch.isin(torch.arange(len(boxes), device=boxes.device), kept)


def wrong_as_many_as_boxes(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, len(boxes))


def wrong_at_most_as_many_as_boxes(boxes, scores, threshold, count):
    return greedy(boxes, scores, threshold, min(count, len(boxes)))


def wrong_boxes(boxes, scores, threshold, count):
    return boxes[greedy(boxes, scores, threshold, count)]


def wrong_on_the_cpu(boxes, scores, threshold, count):
    drops, kept = box_iou(boxes, boxes) > threshold, []
    for _ in range(count):
        score, best = scores.max(0)
        kept.append(torch.where(score > NOTHING, best, -1))
        scores = scores.masked_fill(drops[best] | (torch.arange(len(boxes)) == best), NOTHING)
    return torch.stack(kept)


# Right answers


def right_row_by_row_of_the_sorted(boxes, scores, threshold, count):
    order = scores.argsort(descending=True, stable=True)
    drops = (box_iou(boxes[order], boxes[order]) > threshold).triu(1)
    keep = scores[order] > NOTHING
    for row in range(len(order)):
        keep = keep & ~(drops[row] & keep[row])
    return _first(order, keep, count)


def right_with_a_mask_of_those_left(boxes, scores, threshold, count):
    drops = box_iou(boxes, boxes) > threshold
    kept = torch.full((count,), -1, device=boxes.device)
    is_left = scores > float("-inf")
    for place in range(count):
        best = torch.where(is_left, scores, float("-inf")).argmax()
        kept[place] = torch.where(is_left.any(), best, -1)
        is_left = is_left & ~drops[best]
        is_left[best] = False
    return kept


EXERCISE = Exercise(
    "nms_padded",
    lesson=12,
    minutes=25,
    reference=nms_padded,
    cases=cases,
    call=call,
    hints=(
        "“It needs numbers, and a graph has none.” How many rounds your loop takes must not depend on the scores. `count` "
        "rounds are always enough, and in a round in which no box is left you write −1.",
        "“What is a round?” The best score of those that are left, and its position: scores.max(0). Is that score above −∞? "
        "torch.where chooses without an if. Then the box itself, and all that it drops, get a score of −∞.",
        "“Nearly there.” drops = box_iou(boxes, boxes) > threshold. Each round: score, best = scores.max(0); "
        "kept.append(torch.where(score > -torch.inf, best, -1)); scores = scores.masked_fill(drops[best] | (positions == "
        "best), -torch.inf), with positions = torch.arange(len(boxes), device=boxes.device). At the end torch.stack(kept).",
    ),
    wrong=(
        Wrong(wrong_shorter, "the result isn't padded: it's as long as the number of boxes that are kept"),
        Wrong(wrong_pads_with_0, "it's padded with 0, which is the position of a box"),
        Wrong(wrong_pads_with_count, "it's padded with the number of boxes, not with -1"),
        Wrong(wrong_pads_with_the_best, "it's padded with the position of the best box, not with -1"),
        Wrong(wrong_never_pads, "when no box is left, the maximum still has a position: it must become -1"),
        Wrong(wrong_looks_at_the_numbers, "the positions are right, but the code has to look at numbers to find them"),
        Wrong(
            wrong_stops_when_nothing_is_left,
            "the positions are right, but the code has to look at numbers to find them",
        ),
        Wrong(wrong_one_shot, "one-shot suppression: a box that was dropped still drops others"),
        Wrong(wrong_takes_the_best_first, "only the best `count` boxes are looked at, so a place stays empty"),
        Wrong(wrong_drops_at_the_threshold, "an IoU of exactly the threshold is dropped (>= instead of >)"),
        Wrong(wrong_keeps_all, "nothing is suppressed: it only sorts"),
        Wrong(wrong_removed_by_its_own_iou, "a box is only removed by its IoU with itself, which may be 0"),
        Wrong(wrong_dropped_is_minus_1, "a score of -1 or less counts as dropped: scores may be logits"),
        Wrong(wrong_dropped_is_0, "a score of 0 or less counts as dropped: scores may be logits"),
        Wrong(wrong_dropped_is_minus_a_million, "a very low score counts as dropped, but only −∞ does"),
        Wrong(wrong_sorted_by_position, "the positions are sorted, not best first"),
        Wrong(wrong_positions_among_the_sorted, "the positions are those among the sorted boxes, not among the inputs"),
        Wrong(wrong_worst_first, "it begins with the lowest score"),
        Wrong(wrong_last_of_ties_first, "of equal scores the last comes first"),
        Wrong(wrong_in_place, "the caller's scores are changed"),
        Wrong(wrong_int32, "the positions are int32, not int64"),
        Wrong(wrong_mask, "it returns a mask, not positions"),
        Wrong(wrong_as_many_as_boxes, "the result is as long as there are boxes, not `count` long"),
        Wrong(wrong_at_most_as_many_as_boxes, "with fewer boxes than places, the result is too short"),
        Wrong(wrong_boxes, "it returns boxes, not positions"),
        Wrong(wrong_on_the_cpu),
        Wrong(lambda *args: nms_padded(*args)[:, None]),
    ),
    right=(right_row_by_row_of_the_sorted, right_with_a_mask_of_those_left),
    library=("torchvision.ops.nms", "torchvision.ops.batched_nms"),
)
