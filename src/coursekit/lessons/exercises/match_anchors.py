"""Exercise 4.2, `match_anchors`: which box each anchor is responsible for."""

from collections.abc import Iterator

import torch

from coursekit.detector import box_iou, match_anchors
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

# The first anchor overlaps these by an IoU of 1, 1/3, 0 and 0.
ROW = xyxy((0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 20, 10), (50, 50, 60, 60))


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a box equal to the first anchor", ROW, xyxy((0, 0, 10, 10)))
    yield case("an anchor in the ignored band: IoU 0.5", xyxy((0, 0, 10, 10), (0, 0, 10, 5)), xyxy((0, 0, 10, 10)))
    yield case("an IoU of exactly `fg_iou_thresh`", xyxy((0, 0, 10, 5), (0, 0, 10, 10)), xyxy((0, 0, 10, 10)), 0.5, 0.3)
    yield case(
        "two anchors above the threshold: IoU 1 and 0.8", xyxy((0, 0, 10, 10), (0, 0, 10, 8)), xyxy((0, 0, 10, 10))
    )
    yield case(
        "an IoU of exactly `fg_iou_thresh`, no low-quality matches",
        xyxy((0, 0, 10, 5)),
        xyxy((0, 0, 10, 10)),
        0.5,
        0.3,
        False,
    )
    yield case("an IoU of exactly `bg_iou_thresh`", xyxy((0, 0, 10, 5), (0, 0, 10, 10)), xyxy((0, 0, 10, 10)), 0.7, 0.5)
    yield case("no box in the image", ROW, torch.empty(0, 4))
    yield case("a small box whose best anchor is far below `fg_iou_thresh`", ROW, xyxy((2, 2, 4, 4)))
    yield case("the same, no low-quality matches", ROW, xyxy((2, 2, 4, 4)), 0.7, 0.3, False)
    yield case("a box that no anchor overlaps", ROW, xyxy((30, 30, 40, 40)))
    yield case("a box that two anchors overlap equally", ROW, xyxy((4, 0, 11, 10)))
    yield case("two boxes that an anchor overlaps equally", ROW, xyxy((0, 0, 10, 8), (0, 2, 10, 10)))
    second = xyxy((0, 0, 10, 10), (0, 0, 10, 9))
    yield case("a box whose best anchor overlaps another more", xyxy((0, 0, 10, 10), (40, 0, 50, 10)), second)
    band = xyxy((0, 0, 10, 5), (0, 0, 10, 4))
    yield case("a best anchor in the ignored band: IoU 0.5", band, xyxy((0, 0, 10, 10)))
    yield case("two equal boxes", ROW, xyxy((0, 0, 10, 10), (0, 0, 10, 10)))
    yield case("two equal anchors", xyxy((0, 0, 10, 10), (0, 0, 10, 10), (5, 0, 15, 10)), xyxy((0, 0, 10, 9)))
    yield case("a box without area, and one with", ROW, xyxy((3, 3, 3, 3), (12, 0, 20, 10)))
    yield case(
        "both thresholds equal: nothing is ignored", band, xyxy((0, 0, 10, 10), (40, 0, 50, 10)), 0.5, 0.5, False
    )
    yield case("one anchor, three boxes", ROW[:1], xyxy((0, 0, 10, 8), (0, 0, 10, 9), (30, 0, 40, 10)))
    yield case("boxes in another order than their anchors", ROW, xyxy((50, 50, 60, 60), (0, 0, 10, 10)))
    yield case("many anchors", random_boxes(generator, 60), random_boxes(generator, 9))
    yield case("many anchors, other thresholds", random_boxes(generator, 60), random_boxes(generator, 9), 0.5, 0.2)
    yield case(
        "many anchors, no low-quality matches", random_boxes(generator, 60), random_boxes(generator, 9), 0.5, 0.4, False
    )
    yield case("float64", random_boxes(generator, 40, torch.float64), random_boxes(generator, 5, torch.float64))
    yield on_a_gpu(ROW, ROW)
    yield on_a_gpu(ROW, xyxy((2, 2, 4, 4), (4, 0, 11, 10)))
    yield on_a_gpu(ROW, torch.empty(0, 4))


# The right answer in two steps. A wrong one changes something in one of them.


def is_a_best(overlap):
    """Return for each anchor whether no other overlaps some box more: (G, A) IoU → (A,) bool."""
    most = overlap.amax(1, keepdim=True)
    return ((overlap == most) & (most > 0)).any(0)


def matched(
    anchors,
    boxes,
    fg_iou_thresh=0.7,
    bg_iou_thresh=0.3,
    allow_low_quality_matches=True,
    best_of=is_a_best,
    background=-1,
    ignored=-2,
):
    if not len(boxes):
        return torch.full((len(anchors),), background, device=anchors.device)
    overlap = box_iou(boxes, anchors)  # (G, A)
    iou, match = overlap.max(0)
    positive = iou >= fg_iou_thresh
    positive = positive | best_of(overlap) if allow_low_quality_matches else positive
    return torch.where(positive, match, torch.where(iou < bg_iou_thresh, background, ignored))


def wrong_no_low_quality_matches(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)


def wrong_no_ignored_band(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return torch.where(matches == -2, -1, matches)


def wrong_only_the_first_best(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    def first_best(overlap):
        best = torch.zeros(overlap.shape[1], dtype=torch.bool, device=overlap.device)
        best[overlap.argmax(1)[overlap.amax(1) > 0]] = True
        return best

    return matched(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches, first_best)


def wrong_best_anchors_forced(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes) or not allow_low_quality_matches:
        return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)
    for row, overlap in enumerate(box_iou(boxes, anchors)):
        if overlap.amax() > 0:
            matches[overlap == overlap.amax()] = row
    return matches


def wrong_argmax_forced(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)
    if allow_low_quality_matches and len(boxes):
        matches[box_iou(boxes, anchors).argmax(1)] = torch.arange(len(boxes), device=boxes.device)
    return matches


def wrong_argmax_above_0_forced(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)
    if allow_low_quality_matches and len(boxes):
        most, best = box_iou(boxes, anchors).max(1)
        matches[best[most > 0]] = torch.arange(len(boxes), device=boxes.device)[most > 0]
    return matches


def wrong_best_of_0_counts(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return matched(
        anchors,
        boxes,
        fg_iou_thresh,
        bg_iou_thresh,
        allow_low_quality_matches,
        lambda overlap: (overlap >= overlap.amax(1, keepdim=True)).any(0),
    )


def wrong_above_the_threshold(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh + 1e-6, bg_iou_thresh, allow_low_quality_matches)


def wrong_up_to_the_threshold(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh + 1e-6, allow_low_quality_matches)


def wrong_fails_without_boxes(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        raise IndexError("max(): Expected reduction dim 0 to have non-zero size.")
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)


def wrong_fixed_thresholds(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, 0.7, 0.3, allow_low_quality_matches)


def wrong_last_of_equal_boxes(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes.flip(0), fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return torch.where(matches >= 0, len(boxes) - 1 - matches, matches)


def wrong_first_best_takes_its_box(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    overlap = box_iou(boxes, anchors)
    iou, match = overlap.max(0)
    matches = torch.where(iou >= fg_iou_thresh, match, torch.where(iou < bg_iou_thresh, -1, -2))
    if allow_low_quality_matches:
        most, best = overlap.max(1)
        matches[best[most > 0]] = match[best[most > 0]]
    return matches


def wrong_background_and_ignored_swapped(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    matches = matched(
        anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches, background=-2, ignored=-1
    )
    return matches if len(boxes) else torch.full_like(matches, -1)


def wrong_background_on_the_cpu(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return torch.full((len(anchors),), -1)
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)


def _ious(anchors, boxes):
    return box_iou(boxes, anchors) if len(boxes) else anchors.new_zeros(1, len(anchors))


def wrong_counts_from_one(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return torch.where(matches >= 0, matches + 1, matches)


def wrong_floats(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches).float()


def wrong_int32(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches).int()


def wrong_boxes_for_positions(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return boxes[matches.clamp(min=0)] if len(boxes) else matches


def wrong_ignored_without_boxes(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return matches if len(boxes) else torch.full_like(matches, -2)


def wrong_zeros_without_boxes(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return matches if len(boxes) else torch.zeros_like(matches)


def wrong_always_low_quality(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, True)


def wrong_thresholds_swapped(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, bg_iou_thresh, fg_iou_thresh, allow_low_quality_matches)


def wrong_one_threshold(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(anchors, boxes, fg_iou_thresh, fg_iou_thresh, allow_low_quality_matches)


def wrong_best_below_background_is_ignored(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return torch.where((matches >= 0) & (_ious(anchors, boxes).amax(0) < bg_iou_thresh), -2, matches)


def wrong_low_quality_only_above_background(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    return matched(
        anchors,
        boxes,
        fg_iou_thresh,
        bg_iou_thresh,
        allow_low_quality_matches,
        lambda overlap: ((overlap == overlap.amax(1, keepdim=True)) & (overlap >= max(bg_iou_thresh, 1e-9))).any(0),
    )


def wrong_only_the_best_anchors(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return match_anchors(anchors, boxes)
    overlap = box_iou(boxes, anchors)
    iou, match = overlap.max(0)
    return torch.where(is_a_best(overlap), match, torch.where(iou < bg_iou_thresh, -1, -2))


def wrong_one_anchor_per_box(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return match_anchors(anchors, boxes)
    overlap = box_iou(boxes, anchors)
    matches = torch.where(overlap.amax(0) < bg_iou_thresh, -1, -2)
    for row, column in enumerate(overlap.argmax(1).tolist()):
        matches[column] = row
    return matches


def wrong_best_of_all_boxes_only(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return matched(
        anchors,
        boxes,
        fg_iou_thresh,
        bg_iou_thresh,
        allow_low_quality_matches,
        lambda overlap: (overlap.amax(0) == overlap.max()) & (overlap.amax(0) > 0),
    )


def wrong_first_box_above_the_threshold(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    overlap = _ious(anchors, boxes)
    first = (overlap >= fg_iou_thresh).int().argmax(0)
    return torch.where((overlap >= fg_iou_thresh).any(0), first, matches)


def wrong_rows_for_columns(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    return match_anchors(boxes, anchors, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)


def wrong_forced_on_the_cpu(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return match_anchors(anchors, boxes)
    overlap = box_iou(boxes, anchors)
    best = torch.zeros(len(anchors), dtype=torch.bool)
    for row in overlap:
        best |= (row == row.max()) & (row > 0)
    return matched(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches, lambda _: best)


def wrong_argmax_of_each_box(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    if not len(boxes):
        return match_anchors(anchors, boxes)
    match = box_iou(boxes, anchors).argmax(0)
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)
    if allow_low_quality_matches:
        best = box_iou(boxes, anchors).argmax(1)
        matches[best] = match[best]
    return matches


def wrong_ignored_overwrites_background(
    anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True
):
    if not len(boxes):
        return match_anchors(anchors, boxes)
    matches = match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches)
    return matches.clamp(min=-2).where(matches >= 0, -2)


def right_anchor_by_anchor(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = torch.full((len(anchors),), -1, device=anchors.device)
    if not len(boxes):
        return matches
    overlap = box_iou(anchors, boxes)
    tops = overlap.max(0).values
    for row in range(len(anchors)):
        best = int(overlap[row].argmax())
        is_best = bool(((overlap[row] == tops) & (tops > 0)).any())
        if overlap[row, best] >= fg_iou_thresh or (allow_low_quality_matches and is_best):
            matches[row] = best
        elif overlap[row, best] >= bg_iou_thresh:
            matches[row] = -2
    return matches


def right_with_masks(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
    matches = anchors.new_full((len(anchors),), -1, dtype=torch.int64)
    if boxes.shape[0] == 0:
        return matches
    overlap = box_iou(anchors, boxes)
    best, which = overlap.max(dim=1)
    matches[(best >= bg_iou_thresh) & (best < fg_iou_thresh)] = -2
    matches[best >= fg_iou_thresh] = which[best >= fg_iou_thresh]
    for column in range(len(boxes) if allow_low_quality_matches else 0):
        top = overlap[:, column].max()
        if top > 0:
            tied = torch.nonzero(overlap[:, column] == top).flatten()
            matches[tied] = which[tied]
    return matches


EXERCISE = Exercise(
    "match_anchors",
    lesson=4,
    minutes=35,
    reference=match_anchors,
    cases=cases,
    call=anywhere,
    library=("torchvision.models.detection._utils.Matcher",),
    hints=(
        "“Some objects are never learned.” A small box may overlap no anchor by 0.7. Which anchor should take it "
        "anyway, and what if two overlap it equally?",
        "“A box that overlaps no anchor has one.” Its best IoU is 0 then, and every anchor reaches 0. And with no box at all "
        "there is nothing to take the maximum of: everything is background.",
        "“Nearly there.” overlap = box_iou(boxes, anchors) is (G, A). best, match = overlap.max(0) asks for each anchor; "
        "most = overlap.amax(1, keepdim=True) for each box; is_a_best = ((overlap == most) & (most > 0)).any(0). Then two "
        "torch.where: positive → match, best < bg_iou_thresh → -1, else -2.",
    ),
    wrong=(
        Wrong(wrong_no_low_quality_matches, "low-quality matches are not allowed: small objects get no anchor"),
        Wrong(wrong_no_ignored_band, "there is no ignored band: everything that is not positive is background"),
        Wrong(wrong_only_the_first_best, "of several anchors that overlap a box equally, only the first is positive"),
        Wrong(
            wrong_best_anchors_forced,
            "a best anchor is forced on the box it is best for, although it overlaps another more",
        ),
        Wrong(
            wrong_argmax_forced,
            "argmax forces one anchor on each box, even one that overlaps another box more, or overlaps it by 0",
        ),
        Wrong(
            wrong_argmax_above_0_forced, "argmax forces one anchor on each box, even one that overlaps another box more"
        ),
        Wrong(wrong_best_of_0_counts, "a box that no anchor overlaps takes them all: each reaches its best IoU, 0"),
        Wrong(wrong_above_the_threshold, "an IoU of exactly `fg_iou_thresh` is not positive (> instead of >=)"),
        Wrong(wrong_up_to_the_threshold, "an IoU of exactly `bg_iou_thresh` is background (<= instead of <)"),
        Wrong(wrong_fails_without_boxes, "it fails if an image has no box"),
        Wrong(wrong_fixed_thresholds, "0.7 and 0.3 are hard-coded, whatever the thresholds are"),
        Wrong(wrong_last_of_equal_boxes, "of two boxes that an anchor overlaps equally it takes the last"),
        Wrong(wrong_first_best_takes_its_box),
        Wrong(
            wrong_background_and_ignored_swapped, "background and ignored are swapped: -1 is background, -2 is ignored"
        ),
        Wrong(wrong_background_on_the_cpu),
        Wrong(wrong_counts_from_one, "positions start at 1, but they should start at 0"),
        Wrong(wrong_floats, "the result holds floats, but positions are int64"),
        Wrong(wrong_int32),
        Wrong(wrong_boxes_for_positions, "the boxes are returned, not their positions"),
        Wrong(wrong_ignored_without_boxes, "without boxes all anchors are ignored, but they are background"),
        Wrong(wrong_zeros_without_boxes, "without boxes all anchors are matched with box 0, but they are background"),
        Wrong(wrong_always_low_quality, "`allow_low_quality_matches` is not used: they are always allowed"),
        Wrong(wrong_thresholds_swapped, "the thresholds are swapped"),
        Wrong(wrong_one_threshold),
        Wrong(wrong_best_below_background_is_ignored),
        Wrong(
            wrong_low_quality_only_above_background,
            "a best anchor whose IoU is below `bg_iou_thresh` is background, but it should be matched",
        ),
        Wrong(
            wrong_only_the_best_anchors, "only the best anchors of a box are positive, not all above `fg_iou_thresh`"
        ),
        Wrong(wrong_one_anchor_per_box),
        Wrong(wrong_best_of_all_boxes_only, "only the best anchor of all boxes is forced, not the best of each box"),
        Wrong(
            wrong_first_box_above_the_threshold,
            "an anchor takes the first box above the threshold, not the one it overlaps most",
        ),
        Wrong(wrong_rows_for_columns, "anchors and boxes are swapped: there is a result for each box"),
        Wrong(wrong_forced_on_the_cpu),
        Wrong(wrong_argmax_of_each_box, "argmax picks one anchor for each box, even for a box that overlaps none"),
        Wrong(
            wrong_ignored_overwrites_background, "nothing is background: whatever is below `fg_iou_thresh` is ignored"
        ),
    ),
    right=(right_anchor_by_anchor, right_with_masks),
)
