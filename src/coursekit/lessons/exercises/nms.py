"""Exercise 5.3, `nms`: non-maximum suppression."""

from collections.abc import Iterator

import torch
from torchvision import ops

from coursekit.detector import box_iou, nms
from coursekit.lessons.case_inputs import clusters, xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import index_anywhere, on_a_gpu

CHAIN = xyxy((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # IoU of neighbors 0.43, of the ends 0.11
TIES = torch.arange(100.0) % 10
SORTS_STABLY = torch.equal(TIES.argsort(descending=True), TIES.argsort(descending=True, stable=True))  # on some CPUs
UNSTABLE = "equal scores are in any order, but the first should come first: argsort(descending=True, stable=True)"


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("two boxes far apart", xyxy((0, 0, 10, 10), (50, 50, 60, 60)), torch.tensor([0.9, 0.8]), 0.5)
    yield case(
        "two equal boxes, the second with the higher score",
        xyxy((0, 0, 9, 9), (0, 0, 9, 9)),
        torch.tensor([0.2, 0.8]),
        0.5,
    )
    yield case("a chain of three: the first drops the second", CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.4)
    yield case("the same chain, the highest score in the middle", CHAIN, torch.tensor([0.7, 0.9, 0.8]), 0.4)
    yield case(
        "two equal scores: the first comes first", xyxy((0, 0, 9, 9), (1, 0, 10, 9)), torch.tensor([0.5, 0.5]), 0.5
    )
    yield case("far apart, two equal scores", xyxy((0, 0, 9, 9), (50, 0, 59, 9)), torch.tensor([0.5, 0.5]), 0.5)
    halves = xyxy((0, 0, 10, 10), (0, 0, 10, 5))
    yield case("an IoU of exactly the threshold", halves, torch.tensor([0.9, 0.8]), 0.5)
    yield case("scores below 0, such as logits", CHAIN, torch.tensor([-3.0, -1.0, -2.0]), 0.4)
    yield case(
        "a threshold of 0, and two boxes that touch", xyxy((0, 0, 5, 5), (5, 0, 9, 5)), torch.tensor([0.9, 0.8]), 0.0
    )
    yield case("one box", xyxy((0, 0, 10, 10)), torch.tensor([0.3]), 0.5)
    flat = xyxy((3, 3, 3, 9), (0, 0, 10, 10), (3, 3, 3, 9))
    yield case("two equal boxes without area: their IoU is 0", flat, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    yield case("a threshold of 1, and two equal boxes", flat[[1, 1]], torch.tensor([0.8, 0.9]), 1.0)
    yield case("no boxes", torch.empty(0, 4), torch.empty(0), 0.5)
    yield case("thirty boxes in clusters", *clusters(generator, 3, 10), 0.6)
    yield case("thirty boxes in clusters, a low threshold", *clusters(generator, 6, 5), 0.3)
    many, scores = clusters(generator, 20, 5)
    yield case("a hundred boxes with many equal scores", many, (scores * 10).round() / 10, 0.5)
    yield case("a hundred boxes in float64", many.double(), scores.double(), 0.7)
    yield on_a_gpu(CHAIN, torch.tensor([0.7, 0.9, 0.8]), 0.4)


# Wrong answers. Written as an intern would.


def suppressed(boxes, scores, iou_threshold, order):
    """Return the right answer if `order` is by score."""
    overlaps = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)
    kept = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for row in range(len(order)):
        if kept[row]:
            kept &= ~overlaps[row]
    return order[kept]


def wrong_one_shot(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    overlap = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)
    return order[~overlap.any(0)]


def wrong_in_the_order_given(boxes, scores, iou_threshold):
    kept = []
    for row in range(len(boxes)):
        if all(box_iou(boxes[row, None], boxes[other, None]) <= iou_threshold for other in kept):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_lowest_score_first(boxes, scores, iou_threshold):
    return suppressed(boxes, scores, iou_threshold, scores.argsort(stable=True))


def wrong_drops_at_the_threshold(boxes, scores, iou_threshold):
    kept, order = [], scores.argsort(descending=True, stable=True).tolist()
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [other for other in order if box_iou(boxes[best, None], boxes[other, None]) < iou_threshold]
    return torch.tensor(kept, dtype=torch.int64)


def wrong_sorted_by_position(boxes, scores, iou_threshold):
    return nms(boxes, scores, iou_threshold).sort()[0]


def wrong_positions_among_the_sorted(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    return nms(boxes[order], scores[order], iou_threshold)


def wrong_returns_boxes(boxes, scores, iou_threshold):
    return boxes[nms(boxes, scores, iou_threshold)]


def wrong_returns_a_mask(boxes, scores, iou_threshold):
    return torch.isin(torch.arange(len(boxes)), nms(boxes, scores, iou_threshold))


def wrong_last_of_ties_first(boxes, scores, iou_threshold):
    return suppressed(boxes, scores, iou_threshold, scores.argsort(stable=True).flip(0))


def wrong_unstable_sort(boxes, scores, iou_threshold):
    return suppressed(boxes, scores, iou_threshold, scores.argsort(descending=True))


def wrong_flipped_sort(boxes, scores, iou_threshold):
    return suppressed(boxes, scores, iou_threshold, scores.argsort().flip(0))


def wrong_drops_negative_scores(boxes, scores, iou_threshold):
    kept = nms(boxes, scores, iou_threshold)
    return kept[scores[kept] > 0]


def wrong_only_the_best_suppresses(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    if not len(order):
        return order
    apart = box_iou(boxes[order[:1]], boxes[order])[0] <= iou_threshold
    apart[0] = True
    return order[apart]


def wrong_fails_for_no_boxes(boxes, scores, iou_threshold):
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        order = order[1:][box_iou(boxes[order[:1]], boxes[order[1:]])[0] <= iou_threshold]
    return torch.stack(kept)


def wrong_drops_itself_by_iou(boxes, scores, iou_threshold):
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        if len(kept) > len(boxes):
            raise RuntimeError("it never ends")  # an endless loop would hold up the tests
        kept.append(order[0])
        order = order[box_iou(boxes[order[:1]], boxes[order])[0] <= iou_threshold]
    return torch.stack(kept) if kept else order


def wrong_sets_low_scores_to_minus_1(boxes, scores, iou_threshold):
    left, kept = scores.clone(), []
    while len(left) and left.max() > -1:
        best = int(left.argmax())
        kept.append(best)
        left[box_iou(boxes[best, None], boxes)[0] > iou_threshold] = -1
        left[best] = -1
    return torch.tensor(kept, dtype=torch.int64)


def wrong_scores_in_place(boxes, scores, iou_threshold):
    kept = []
    for _ in range(len(scores)):
        best = int(scores.argmax())
        if scores[best] == -torch.inf:
            break
        kept.append(best)
        scores[box_iou(boxes[best, None], boxes)[0] > iou_threshold] = -torch.inf
        scores[best] = -torch.inf
    return torch.tensor(kept, dtype=torch.int64)


def wrong_areas_with_the_last_pixel(boxes, scores, iou_threshold):
    return nms(boxes + boxes.new_tensor([0, 0, 1, 1]), scores, iou_threshold)


def wrong_removes_while_it_loops(boxes, scores, iou_threshold):
    left, kept = scores.argsort(descending=True, stable=True).tolist(), []
    while left:
        kept.append(left.pop(0))
        for other in left:
            if box_iou(boxes[[kept[-1]]], boxes[[other]]) > iou_threshold:
                left.remove(other)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_compares_with_the_last_kept(boxes, scores, iou_threshold):
    kept = []
    for place in scores.argsort(descending=True, stable=True).tolist():
        if all(box_iou(boxes[[place]], boxes[[last]]) <= iou_threshold for last in kept[-1:]):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def wrong_stops_at_score_0(boxes, scores, iou_threshold):
    left, kept = scores.clone(), []
    while (left > 0).any():
        best = left.argmax()
        kept.append(best)
        left[box_iou(boxes[best, None], boxes)[0] > iou_threshold] = 0
        left[best] = 0
    return torch.stack(kept)


def wrong_on_the_cpu(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    overlaps, dropped = box_iou(boxes[order], boxes[order]) > iou_threshold, torch.zeros(len(order), dtype=torch.bool)
    kept = []
    for row in range(len(order)):
        if not dropped[row]:
            kept.append(row)
            dropped |= overlaps[row]
    return order[kept]


def wrong_returns_a_list(boxes, scores, iou_threshold):
    return nms(boxes, scores, iou_threshold).tolist()


def right_with_a_shrinking_list(boxes, scores, iou_threshold):
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        order = order[1:][box_iou(boxes[order[:1]], boxes[order[1:]])[0] <= iou_threshold]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


def right_with_plain_numbers(boxes, scores, iou_threshold):
    kept, ious = [], box_iou(boxes, boxes).tolist()
    for place in sorted(range(len(boxes)), key=lambda place: -float(scores[place])):
        if all(ious[place][better] <= iou_threshold for better in kept):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


EXERCISE = Exercise(
    "nms",
    lesson=5,
    minutes=20,
    reference=nms,
    cases=cases,
    call=index_anywhere,
    library=("torchvision.ops.nms", "torchvision.ops.batched_nms"),
    twin=ops.nms,
    hints=(
        "“It drops too many.” Three boxes in a chain: the first overlaps the second, the second the third, but the first "
        "doesn't overlap the third. The first drops the second. Who is left to drop the third?",
        "“The positions are wrong.” You sorted the boxes, so your positions are those among the sorted boxes. order[…] leads "
        "back. Of equal scores the first stays first: argsort(descending=True, stable=True).",
        "“Nearly there.” order = …; kept = []; while len(order): best = order[0]; kept.append(best); rest = order[1:]; then "
        "order = rest[box_iou(boxes[best][None], boxes[rest])[0] <= iou_threshold]. At the end torch.stack(kept), and for "
        "no boxes an empty int64 tensor.",
    ),
    wrong=(
        Wrong(wrong_one_shot, "one-shot suppression: a box that was dropped still drops others"),
        Wrong(wrong_in_the_order_given, "the boxes are not sorted by score"),
        Wrong(wrong_lowest_score_first, "it begins with the lowest score"),
        Wrong(wrong_drops_at_the_threshold, "an IoU of exactly the threshold is dropped (>= instead of >)"),
        Wrong(wrong_sorted_by_position, "the positions come out sorted by position, not best first"),
        Wrong(wrong_positions_among_the_sorted, "the positions are those among the sorted boxes, not among the inputs"),
        Wrong(wrong_returns_boxes, "it returns the boxes, not their positions"),
        Wrong(wrong_returns_a_mask, "it returns a mask, not positions"),
        Wrong(wrong_last_of_ties_first, "of equal scores the last comes first"),
        Wrong(wrong_drops_negative_scores, "scores below 0 are dropped: they may be logits"),
        Wrong(wrong_only_the_best_suppresses, "only the very best box drops others"),
        Wrong(wrong_fails_for_no_boxes, "it fails if there are no boxes"),
        Wrong(
            wrong_drops_itself_by_iou,
            "a box is only removed by its IoU with itself, which is 0 for a box without area: it never ends",
        ),
        Wrong(wrong_scores_in_place, "the caller's scores are changed"),
        Wrong(wrong_sets_low_scores_to_minus_1, "a score of -1 or less counts as dropped: scores may be logits"),
        Wrong(wrong_returns_a_list, "it returns a list, not a tensor"),
        Wrong(lambda *args: nms(*args).int(), "the positions are int32, not int64"),
        Wrong(
            lambda boxes, scores, iou_threshold: scores[nms(boxes, scores, iou_threshold)],
            "it returns scores, not positions",
        ),
        Wrong(
            wrong_areas_with_the_last_pixel, "width and height are counted with + 1, as if corners were whole pixels"
        ),
        Wrong(wrong_removes_while_it_loops, "the list that a loop goes through is changed: the loop skips boxes"),
        Wrong(wrong_compares_with_the_last_kept, "a box is compared with the last one kept, not with all of them"),
        Wrong(wrong_stops_at_score_0, "only scores above 0 are looked at: they may be logits, and there may be no box"),
        *(() if SORTS_STABLY else (Wrong(wrong_unstable_sort, UNSTABLE),)),
        Wrong(wrong_flipped_sort),
        Wrong(wrong_on_the_cpu),
    ),
    right=(right_with_a_shrinking_list, right_with_plain_numbers),
)
