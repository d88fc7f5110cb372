"""Exercise 7.1: sample the regions of interest (RoIs) that the second stage learns from."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import box_iou, match_anchors, sample_balanced, sample_rois
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

DRAWS = 6


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    gt_box, label = xyxy((0, 0, 20, 20)), torch.tensor([3])
    yield case("a proposal far from the only object", xyxy((60, 60, 80, 80)), gt_box, label)
    yield case("a proposal that fits well", xyxy((0, 0, 20, 18)), gt_box, label)
    yield case("an IoU of exactly 0.5", xyxy((0, 0, 20, 10)), gt_box, label)
    yield case("an IoU of 0.4, which is background", xyxy((0, 0, 20, 8)), gt_box, label)
    yield case("an image without objects", xyxy((0, 0, 9, 9), (5, 5, 30, 30)), torch.empty(0, 4), label[:0])
    yield case("no proposals", torch.empty(0, 4), gt_box, label)
    gt_boxes = xyxy((0, 0, 20, 20), (50, 50, 90, 90))
    yield case("two objects, the proposals in another order", gt_boxes.flip(0) + 1.0, gt_boxes, torch.tensor([7, 2]))
    twice = gt_box.repeat(2, 1)
    yield case("two objects in the same place: on a tie, the first", gt_box, twice, torch.tensor([5, 2]))
    yield case("neither proposals nor objects", torch.empty(0, 4), torch.empty(0, 4), label[:0])
    yield case("float64", xyxy((0, 0, 20, 18), (60, 60, 80, 80)).double(), gt_box.double(), label)
    near = torch.cat([gt_box + 0.5 * n for n in range(1, 10)])
    yield case("more proposals with an object than may be sampled", near, gt_box, label, 8)
    far = torch.cat([gt_box + 30 + 3 * n for n in range(9)])
    yield case("more background than may be sampled", far, gt_box, label, 4)
    yield case("a positive_fraction of 0.5", torch.cat([near, far]), gt_box, label, 8, 0.5)
    gt_boxes = case_inputs.boxes(generator, 5)
    near = gt_boxes.repeat(6, 1) + 2 * torch.randn(30, 4, generator=generator)
    proposals = torch.cat([near, case_inputs.boxes(generator, 30)])
    yield case("60 proposals, five objects", proposals, gt_boxes, torch.tensor([4, 1, 3, 3, 2]), 512)
    yield on_a_gpu(proposals, gt_boxes, torch.tensor([4, 1, 3, 3, 2]), 512, what="boxes and labels")


def call(
    answer: Answer,
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    batch_size_per_image: int = 64,
    positive_fraction: float = 0.25,
) -> Any:
    """Return the sample, sorted, where everything is sampled; else how many of each kind, and how many are wrong.

    So the order in which an answer samples makes no difference.
    """
    args = proposals, boxes, labels, batch_size_per_image, positive_fraction
    if is_elsewhere(args):
        return anywhere(answer, *args)
    rois, roi_labels, roi_boxes = answer(*args)
    if roi_labels.dtype != torch.int64 or rois.ndim != 2 or not len(rois) == len(roi_labels) == len(roi_boxes):
        return {"rois": rois, "labels": roi_labels, "boxes": roi_boxes}
    sample, everything = _rows(rois, roi_labels, roi_boxes), _rows(*sample_rois(proposals, boxes, labels, 10**6, 1.0))
    positives = int((everything[:, 4] > 0).sum())
    if positives <= int(batch_size_per_image * positive_fraction) and len(everything) <= batch_size_per_image:
        rois, roi_labels, roi_boxes = (part.contiguous() for part in sample.split((4, 1, 4), 1))
        return {"rois": rois, "labels": roi_labels.flatten().long(), "boxes": roi_boxes}
    is_known = (sample[:, None] == everything).all(2).any(1)
    others = [_rows(*answer(*args)) for _ in range(DRAWS)]
    return {
        "sampled with an object": int((roi_labels > 0).sum()),
        "sampled from the background": int((roi_labels == 0).sum()),
        "sampled twice": max(0, len(sample) - len(sample.unique(dim=0))),
        "sampled with a wrong label or box": int((~is_known).sum()),
        "another sample each time": not all(torch.equal(sample, other) for other in others),
    }


def _rows(rois: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """Return (R, 9) rows of RoI, label and box, sorted."""
    rows = torch.cat([rois, labels[:, None].to(rois.dtype), boxes], 1)
    for column in range(rows.shape[1] - 1, -1, -1):
        rows = rows[rows[:, column].argsort(stable=True)]
    return rows


# Wrong answers. `_sample` is right as long as its options are left alone.


def _sample(
    proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25,
    *, with_gt_boxes=True, thresholds=(0.5, 0.5, False), background=0,
):  # fmt: skip
    candidates = torch.cat([proposals, boxes]) if with_gt_boxes else proposals
    matches = match_anchors(candidates, boxes, *thresholds)
    positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction)
    rois, objects = candidates[torch.cat([positives, negatives])], matches[positives]
    roi_labels = torch.cat([labels[objects], torch.full_like(negatives, background)])
    return rois, roi_labels, torch.cat([boxes[objects], candidates[negatives]])


def _changed(words="", **options):
    return Wrong(partial(_sample, **options), words)


def without_gt_boxes(proposals, boxes, labels, *numbers):
    box_iou(proposals, boxes).amax(0)  # fails without proposals, as interns' `match_anchors` often does
    return _sample(proposals, boxes, labels, *numbers, with_gt_boxes=False)


def fails_without_objects(proposals, boxes, labels, *numbers):
    box_iou(torch.cat([proposals, boxes]), boxes).max(1)
    return _sample(proposals, boxes, labels, *numbers)


def everything(proposals, boxes, labels, *numbers):
    return _sample(proposals, boxes, labels, 10**6, 1.0)


def always_half(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    return _sample(proposals, boxes, labels, batch_size_per_image, 0.5)


def all_labels_1(proposals, boxes, labels, *numbers):
    return _sample(proposals, boxes, torch.ones_like(labels), *numbers)


def labels_from_0(proposals, boxes, labels, *numbers):
    return _sample(proposals, boxes, labels - 1, *numbers)


def without_background(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return rois[roi_labels > 0], roi_labels[roi_labels > 0], roi_boxes[roi_labels > 0]


def boxes_of_positives_only(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return rois, roi_labels, roi_boxes[roi_labels > 0]


def in_their_own_order(proposals, boxes, labels, *numbers):
    rois, roi_labels, roi_boxes = _sample(proposals, boxes, labels, *numbers)
    positives = int((roi_labels > 0).sum())
    first = torch.arange(positives) % max(1, len(boxes))
    return rois, torch.cat([labels[first], roi_labels[positives:]]), torch.cat([boxes[first], roi_boxes[positives:]])


def labels_in_their_own_order(proposals, boxes, labels, *numbers):
    rois, roi_labels, roi_boxes = _sample(proposals, boxes, labels, *numbers)
    positives = int((roi_labels > 0).sum())
    padded = torch.cat([labels, torch.zeros(len(rois), dtype=torch.int64)])
    return rois, torch.cat([padded[:positives], roi_labels[positives:]]), roi_boxes


def background_gets_a_label(proposals, boxes, labels, *numbers):
    rois, roi_labels, roi_boxes = _sample(proposals, boxes, labels, *numbers)
    if not len(boxes):
        return rois, roi_labels, roi_boxes
    best = box_iou(rois, boxes).argmax(1)
    return rois, labels[best], boxes[best]


def last_on_a_tie(proposals, boxes, labels, *numbers):
    return _sample(proposals, boxes.flip(0), labels.flip(0), *numbers)


def background_has_no_box(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return rois, roi_labels, torch.where(roi_labels[:, None] > 0, roi_boxes, 0)


def float_labels(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return rois, roi_labels.float(), roi_boxes


def rois_for_boxes(*args):
    rois, roi_labels, _ = _sample(*args)
    return rois, roi_labels, rois


def two_values(*args):
    return _sample(*args)[:2]


def gt_boxes_first(proposals, boxes, labels, *numbers):
    return _sample(boxes, proposals, labels, *numbers)


def positives_fill_up(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    return _sample(proposals, boxes, labels, batch_size_per_image, 1.0)


def zeros_on_the_cpu(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return (
        rois,
        torch.cat([roi_labels[roi_labels > 0], torch.zeros(int((roi_labels == 0).sum()), dtype=int)]),
        roi_boxes,
    )


def full_count_of_background(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    sample = _sample(proposals, boxes, labels, 10**6, 1.0)
    positives, negatives = torch.where(sample[1] > 0)[0], torch.where(sample[1] == 0)[0]
    chosen = torch.cat([positives[: int(batch_size_per_image * positive_fraction)], negatives[:batch_size_per_image]])
    return tuple(part[chosen] for part in sample)


def with_replacement(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    sample = _sample(proposals, boxes, labels, 10**6, 1.0)
    positives, negatives = torch.where(sample[1] > 0)[0], torch.where(sample[1] == 0)[0]
    if len(positives):
        positives = positives[torch.randint(len(positives), (int(batch_size_per_image * positive_fraction),))]
    if len(negatives):
        negatives = negatives[torch.randint(len(negatives), (batch_size_per_image - len(positives),))]
    chosen = torch.cat([positives, negatives])
    return tuple(part[chosen] for part in sample)


def a_fresh_generator(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    candidates = torch.cat([proposals, boxes])
    matches = match_anchors(candidates, boxes, 0.5, 0.5, False)
    generator = torch.Generator(matches.device).manual_seed(0)
    positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction, generator)
    roi_labels = torch.cat([labels[matches[positives]], torch.zeros_like(negatives)])
    chosen = torch.cat([positives, negatives])
    return candidates[chosen], roi_labels, torch.cat([boxes[matches[positives]], candidates[negatives]])


def without_chance(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    return _last_ones(torch.cat([proposals, boxes]), boxes, labels, batch_size_per_image, positive_fraction)


def _last_ones(candidates, boxes, labels, batch_size_per_image, positive_fraction):
    """Return a sample of the last candidates of each kind."""
    best, objects = candidates.new_zeros(len(candidates)), torch.zeros_like(candidates[:, 0], dtype=torch.int64)
    if len(boxes):
        best, objects = box_iou(candidates, boxes).max(1)
    positives = torch.where(best >= 0.5)[0].flip(0)[: int(batch_size_per_image * positive_fraction)]
    negatives = torch.where(best < 0.5)[0].flip(0)[: batch_size_per_image - len(positives)]
    roi_labels = torch.cat([labels[objects[positives]], torch.zeros_like(negatives)])
    roi_boxes = torch.cat([boxes[objects[positives]], candidates[negatives]])
    return candidates[torch.cat([positives, negatives])], roi_labels, roi_boxes


# Other right answers.


def background_first(*args):
    rois, roi_labels, roi_boxes = _sample(*args)
    return rois.flip(0), roi_labels.flip(0), roi_boxes.flip(0)


def in_any_order(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    everything = torch.cat([boxes, proposals])
    candidates = everything[torch.randperm(len(everything), device=everything.device)]
    return _last_ones(candidates, boxes, labels, batch_size_per_image, positive_fraction)


THE_SAME_EACH_TIME = "the same sample each time: a sample is drawn anew, so no fixed seed, and not just the first ones"

EXERCISE = Exercise(
    "sample_rois",
    lesson=7,
    minutes=15,
    reference=sample_rois,
    cases=cases,
    call=call,
    hints=(
        "“There is an object, but no RoI has its label.” An untrained RPN proposes nothing that fits. Which boxes fit for "
        "certain? Add the ground truth to the proposals before you match.",
        "“My labels belong to other objects.” A match is a position in `boxes`, so read boxes and labels at the matches of the "
        "positives. Match with the threshold 0.5 for both fg_iou_thresh and bg_iou_thresh, so that nothing is ignored, and "
        "without low-quality matches.",
        "“Nearly there.” proposals = torch.cat([proposals, boxes]); matches = match_anchors(proposals, boxes, 0.5, 0.5, False); "
        "positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction). A background RoI has the "
        "label 0, and its box is the RoI itself.",
    ),
    wrong=(
        _changed(
            "the ground-truth boxes are not added: an untrained RPN proposes nothing that fits", with_gt_boxes=False
        ),
        Wrong(without_gt_boxes, "the ground-truth boxes are not added to the proposals"),
        _changed(
            "the RPN's thresholds 0.7 and 0.3, with low-quality matches: 0.5 is asked", thresholds=(0.7, 0.3, True)
        ),
        _changed("RoIs just below 0.5 are ignored: they should be background", thresholds=(0.5, 0.3, False)),
        _changed("background has the label -1, as in the matches, instead of 0", background=-1),
        Wrong(all_labels_1, "the label of each object is 1: only the RPN asks “object or not?”"),
        Wrong(labels_from_0, "labels count from 0, so the first class becomes background"),
        Wrong(in_their_own_order, "boxes and labels are taken in their own order, not by the matches"),
        Wrong(everything, "all candidates are taken: batch_size_per_image and positive_fraction are not used"),
        Wrong(always_half, "half of the sample may be positive, whatever positive_fraction is"),
        Wrong(without_background, "the background is left out"),
        Wrong(boxes_of_positives_only, "only positives have boxes: the three tensors should have the same length"),
        Wrong(fails_without_objects, "it fails if there are no objects"),
        _changed("an IoU of exactly 0.5 is background: > instead of >=", thresholds=(0.500001, 0.500001, False)),
        _changed("the threshold is 0.7, where 0.5 is asked", thresholds=(0.7, 0.7, False)),
        Wrong(last_on_a_tie, "of two objects with the same IoU the last one counts: it should be the first"),
        Wrong(background_has_no_box, "the target box of background is 0, where it should be the RoI itself"),
        Wrong(float_labels, "the labels are floats, not int64"),
        Wrong(rois_for_boxes, "the target boxes are the RoIs, not those of their objects"),
        Wrong(two_values, "it should return three tensors: RoIs, labels and boxes"),
        Wrong(background_gets_a_label, "background RoIs have the label and the box of the nearest object"),
        Wrong(labels_in_their_own_order, "the labels are taken in their own order, not by the matches"),
        Wrong(positives_fill_up, "positive_fraction is not used: the whole sample may be positive"),
        Wrong(full_count_of_background, "as many as batch_size_per_image from the background alone"),
        Wrong(with_replacement, "the same RoI may be sampled twice"),
        Wrong(without_chance, THE_SAME_EACH_TIME),
        Wrong(a_fresh_generator, THE_SAME_EACH_TIME),
        Wrong(gt_boxes_first),
        Wrong(zeros_on_the_cpu),
    ),
    right=(background_first, in_any_order),
)
