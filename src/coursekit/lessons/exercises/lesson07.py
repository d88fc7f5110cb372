"""07 · The detector."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.data.boxes import Size
from coursekit.detector import (
    FPN,
    BoxHead,
    FasterRCNN,
    Options,
    RPNHead,
    decode_boxes,
    detection_losses,
    encode_boxes,
    match_anchors,
    postprocess,
    sample_rois,
)
from coursekit.detector.boxes import clip_boxes, nms_by_group
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy

WEIGHTS, BETA = (10.0, 10.0, 5.0, 5.0), 1 / 9
Sample = tuple[Tensor, Tensor, Tensor]
Losses = dict[str, Tensor]


# sample_rois


def _sample_cases(generator: torch.Generator) -> Iterator[Case]:
    one, label = xyxy((0, 0, 20, 20)), torch.tensor([3])
    yield case("a proposal that is far from the only object", xyxy((60, 60, 80, 80)), one, label)
    yield case("a proposal that fits well", xyxy((0, 0, 20, 18)), one, label)
    yield case("an IoU of exactly 0.5", xyxy((0, 0, 20, 10)), one, label)
    yield case("an IoU of 0.4, which is background", xyxy((0, 0, 20, 8)), one, label)
    yield case("no object in the image", xyxy((0, 0, 9, 9), (5, 5, 30, 30)), torch.empty(0, 4), label[:0])
    yield case("no proposal at all", torch.empty(0, 4), one, label)
    two = xyxy((0, 0, 20, 20), (50, 50, 90, 90))
    yield case("two objects, the proposals in another order", two.flip(0) + 1.0, two, torch.tensor([7, 2]))
    small = torch.cat([one + 0.5 * n for n in range(1, 10)]), one, label
    yield case("more objects' proposals than may be drawn", *small, 8)
    far = torch.cat([one + 30 + 3 * n for n in range(9)])
    yield case("more background than may be drawn", far, one, label, 4)
    yield case("another share", torch.cat([small[0], far]), one, label, 8, 0.5)
    truth = boxes(generator, 5)
    near = truth.repeat(6, 1) + 2 * torch.randn(30, 4, generator=generator)
    yield case("many", torch.cat([near, boxes(generator, 30)]), truth, torch.tensor([4, 1, 3, 3, 2]), 512)


def _use_sampler(
    answer: Answer, proposals: Tensor, boxes: Tensor, labels: Tensor, count: int = 64, positive_fraction: float = 0.25
) -> Any:
    """What was drawn. Where all are drawn: which, in order of their corners. Else how many, and that they are right.

    So it makes no difference in which order an answer draws.
    """
    rois, classes, targets = answer(proposals, boxes, labels, count, positive_fraction)
    if classes.dtype != torch.int64 or rois.ndim != 2 or not len(rois) == len(classes) == len(targets):
        return {"rois": rois, "labels": classes, "boxes": targets}
    everything = _rows(sample_rois(proposals, boxes, labels, 10**6, 1.0))
    drawn = _rows((rois, classes, targets))
    positive = int((everything[:, 4] > 0).sum())
    if positive <= int(count * positive_fraction) and len(everything) <= count:
        columns = [part.contiguous() for part in drawn.split((4, 1, 4), 1)]
        return {"rois": columns[0], "labels": columns[1].flatten().long(), "boxes": columns[2]}
    known = (drawn[:, None] == everything).all(2)
    return {
        "drawn with an object": int((classes > 0).sum()),
        "drawn from the background": int((classes == 0).sum()),
        "drawn twice": max(0, len(drawn) - len(drawn.unique(dim=0))),
        "drawn with a wrong label or box": int((~known.any(1)).sum()),
    }


def _rows(sample: Sample) -> Tensor:
    """(R, 9): roi, label and box side by side, sorted."""
    rois, classes, targets = sample
    rows = torch.cat([rois, classes[:, None].to(rois.dtype), targets], 1)
    for column in range(rows.shape[1] - 1, -1, -1):
        rows = rows[rows[:, column].argsort(stable=True)]
    return rows


def _draw(
    proposals: Tensor, truth: Tensor, labels: Tensor, matches: Tensor, count: int, share: float, background: int = 0
) -> Sample:
    """Sample by matches, as the reference does."""
    positives, negatives = torch.where(matches >= 0)[0], torch.where(matches == -1)[0]
    positives = positives[torch.randperm(len(positives))][: int(count * share)]
    negatives = negatives[torch.randperm(len(negatives))][: count - len(positives)]
    found, rest = matches[positives], torch.full_like(negatives, background)
    rois, targets = proposals[torch.cat([positives, negatives])], torch.cat([truth[found], proposals[negatives]])
    return rois, torch.cat([labels[found], rest]), targets


def _match(proposals: Tensor, truth: Tensor, allow_low_quality_matches: bool = False, low: float = 0.5) -> Tensor:
    return match_anchors(proposals, truth, 0.5, low, allow_low_quality_matches)


def _no_truth(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    return _draw(proposals, truth, labels, _match(proposals, truth), count, share)


def _kept_best(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    proposals = torch.cat([proposals, truth])
    return _draw(proposals, truth, labels, match_anchors(proposals, truth, 0.7, 0.3), count, share)


def _banded(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    proposals = torch.cat([proposals, truth])
    return _draw(proposals, truth, labels, _match(proposals, truth, low=0.3), count, share)


def _from_minus(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    proposals = torch.cat([proposals, truth])
    return _draw(proposals, truth, labels, _match(proposals, truth), count, share, -1)


def _all_same_label(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    return sample_rois(proposals, truth, torch.ones_like(labels), count, share)


def _from_zero(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    return sample_rois(proposals, truth, labels - 1, count, share)


def _in_order(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    """Labels of the first boxes, whichever were found."""
    rois, classes, targets = sample_rois(proposals, truth, labels, count, share)
    positives = int((classes > 0).sum())
    pick = torch.arange(positives) % max(1, len(truth))
    return rois, torch.cat([labels[pick], classes[positives:]]), torch.cat([truth[pick], targets[positives:]])


def _all_of_them(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    return sample_rois(proposals, truth, labels, 10**6, 1.0)


def _half(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    return sample_rois(proposals, truth, labels, count, 0.5)


def _only_positives(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    rois, classes, targets = sample_rois(proposals, truth, labels, count, share)
    return rois[classes > 0], classes[classes > 0], targets[classes > 0]


def _short_targets(proposals: Tensor, truth: Tensor, labels: Tensor, count: int = 64, share: float = 0.25) -> Any:
    rois, classes, targets = sample_rois(proposals, truth, labels, count, share)
    return rois, classes, targets[classes > 0]


SAMPLE = Exercise(
    "sample_rois",
    lesson=7,
    minutes=15,
    reference=sample_rois,
    cases=_sample_cases,
    call=_use_sampler,
    hints=(
        "“There is an object, and nothing was drawn with it.” What does an RPN propose in its first step? Something that is "
        "surely right has to be among the candidates: the true boxes themselves.",
        "“My labels are of other objects.” A match is a position in `boxes`, so boxes and labels are read at the matches of "
        "the positives. And one limit does for both, 0.5: nothing is ignored here, and no best one is kept below it.",
        "“Nearly there.” proposals = torch.cat([proposals, boxes]); matches = match_anchors(…, 0.5, 0.5, False); positives, "
        "negatives = sample_balanced(matches, …). A background RoI has the label 0 and, as its box, itself.",
    ),
    mistakes=(
        Mistake("the truth is not mixed in: an untrained RPN leaves nothing to learn from", _no_truth),
        Mistake("the limits of the RPN (0.7 and 0.3, best ones kept), where 0.5 is meant", _kept_best),
        Mistake("there is an ignored band below 0.5: background must begin right there", _banded),
        Mistake("background has the label -1, as in the matches; here it is 0", _from_minus),
        Mistake("every object has the label 1: that is the RPN's question, not this one's", _all_same_label),
        Mistake("labels are counted from 0, and the first class becomes background", _from_zero),
        Mistake("boxes and labels are taken in their own order, not by the matches", _in_order),
        Mistake("all are taken: `count` and `positive_fraction` are not used", _all_of_them),
        Mistake("the share is the RPN's half, whatever `positive_fraction` is", _half),
        Mistake("the background is left out", _only_positives),
        Mistake("there are boxes for the positives only: three tensors of one length are promised", _short_targets),
    ),
)


# detection_losses


def _loss_cases(generator: torch.Generator) -> Iterator[Case]:
    roi, box = xyxy((0, 0, 20, 10)), xyxy((2, 1, 22, 13))
    sure = torch.tensor([[0.0, 0.0, 4.0]])
    right = torch.zeros(1, 3, 4)
    right[0, 2] = encode_boxes(box, roi, WEIGHTS)[0]
    two, background = torch.tensor([2]), torch.tensor([0])
    yield case("a sure head with the right box", sure, right, roi, two, box)
    yield case("a head that has no idea", torch.zeros(1, 3), torch.zeros(1, 3, 4), roi, two, roi)
    yield case("background, whatever box is said", sure, right, roi, background, roi)
    yield case("the right box, said for another class", sure, right.roll(-1, 1), roi, two, box)
    yield case("a box that is off by a little", sure, right + 0.05, roi, two, box)
    yield case("a box that is off by much", sure, right + 3, roi, two, box)
    one = torch.tensor([1, 0, 0, 0])
    wide = xyxy((0, 0, 30, 10), *[(40, 40, 60, 60)] * 3)
    some = torch.randn(4, 2, generator=generator), torch.randn(4, 2, 4, generator=generator)
    yield case("one object among three of the background", *some, wide, one, torch.cat([box, wide[1:]]))
    yield case("no RoI at all", torch.zeros(0, 3), torch.zeros(0, 3, 4), roi[:0], two[:0], roi[:0])
    rois, classes = boxes(generator, 40), torch.randint(0, 6, (40,), generator=generator)
    moved = torch.cat([rois[:, :2] + 1, rois[:, 2:] + 3], 1)
    many = torch.randn(40, 6, generator=generator), torch.randn(40, 6, 4, generator=generator)
    yield case("many", *many, rois, classes, torch.where(classes[:, None] > 0, moved, rois))
    less = [one.double() if one.is_floating_point() else one for one in (*many, rois, classes, moved)]
    yield case("float64", *less)


def _two_losses(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor, **change: Any) -> Losses:
    """The reference with one thing changed."""
    positive = torch.where(labels > 0)[0]
    column = change.get("column", labels)[positive]
    said = deltas[positive, column]
    meant = encode_boxes(truth[positive], rois[positive], change.get("weights", WEIGHTS))
    many, few = max(1, len(labels)), max(1, len(positive))
    kind = change.get("loss", "smooth")
    box = (said - meant).abs().sum() if kind == "l1" else F.smooth_l1_loss(said, meant, beta=change.get("beta", BETA))
    box = box if kind == "l1" else box.nan_to_num() * said.numel()
    box = box * change.get("factor", 1.0) / (few if change.get("by_positives") else many)
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": box,
    }


def _by_positives(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, by_positives=True)


def _no_weights(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, weights=(1.0, 1.0, 1.0, 1.0))


def _class_before(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, column=(labels - 1).clamp(min=0))


def _first_class(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, column=torch.ones_like(labels))


def _said_class(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, column=logits.argmax(1))


def _absolute(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, loss="l1")


def _beta_one(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, beta=1.0)


def _quarter(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return _two_losses(logits, deltas, rois, labels, truth, factor=0.25)


def _all_rois(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    found = detection_losses(logits, deltas, rois, labels, truth)
    said, meant = deltas[torch.arange(len(labels)), labels], encode_boxes(truth, rois, WEIGHTS)
    total = F.smooth_l1_loss(said, meant, beta=BETA, reduction="sum")
    return found | {"loss_box_reg": total / max(1, len(labels))}


def _positives_only(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    found = detection_losses(logits, deltas, rois, labels, truth)
    few = labels > 0
    return found | {"loss_classifier": F.cross_entropy(logits[few], labels[few], reduction="sum") / max(1, len(labels))}


def _other_way(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return detection_losses(logits, deltas, truth, labels, rois)


def _nan_for_none(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    found = detection_losses(logits, deltas, rois, labels, truth)
    return {name: value * len(labels) / torch.tensor(len(labels)) for name, value in found.items()}


def _after_softmax(logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, truth: Tensor) -> Any:
    return detection_losses(logits.softmax(1), deltas, rois, labels, truth)


LOSSES = Exercise(
    "detection_losses",
    lesson=7,
    minutes=25,
    reference=detection_losses,
    cases=_loss_cases,
    hints=(
        "“My box loss doesn't fall to 0 for the right box.” The head speaks in deltas, so the truth has to be encoded, "
        "against the RoI, with the weights (10, 10, 5, 5). And only the deltas of the true class are asked.",
        "“The values are a few times too large.” Both losses are divided by the number of all RoIs, background included: "
        "then an image with one object doesn't count as much as one with ten. For no RoI at all, divide by 1.",
        "“Nearly there.” positive = torch.where(labels > 0)[0]; said = deltas[positive, labels[positive]] picks a row and a "
        "class for each; F.smooth_l1_loss(said, meant, beta=1 / 9, reduction='sum'); F.cross_entropy(logits, labels, …).",
    ),
    mistakes=(
        Mistake("the box loss is divided by the number of positives, not of all RoIs", _by_positives),
        Mistake("the weights (10, 10, 5, 5) are missing in the truth's encoding", _no_weights),
        Mistake("the deltas of the class before: class 0 is the background and has a place, too", _class_before),
        Mistake("the deltas of class 1 are asked, whatever the object is", _first_class),
        Mistake("the deltas of the class that the head says, not of the true one", _said_class),
        Mistake("plain L1, not smooth L1", _absolute),
        Mistake("beta is left at 1: smooth L1 with 1/9 is meant", _beta_one),
        Mistake("the mean over the four numbers of a box, where their sum is meant", _quarter),
        Mistake("background RoIs are asked for a box, too", _all_rois),
        Mistake("the classifier never sees the background", _positives_only),
        Mistake("RoI and box are exchanged in the encoding", _other_way),
        Mistake("0 / 0 where there is no RoI: the loss becomes NaN", _nan_for_none),
        Mistake("softmax before cross_entropy, which takes the softmax itself", _after_softmax),
    ),
)


# postprocess


def _post_cases(generator: torch.Generator) -> Iterator[Case]:
    roi, size = xyxy((10, 10, 30, 30)), (60, 80)
    still = torch.zeros(1, 3, 4)
    yield case("one proposal, one sure class", torch.tensor([[0.0, 0.0, 6.0]]), still, roi, size)
    yield case("one that is surely background", torch.tensor([[9.0, 0.0, 1.0]]), still, roi, size)
    yield case("two classes in one place", torch.tensor([[0.0, 3.0, 2.5]]), still, roi, size)
    apart = still.clone()
    apart[0, 0], apart[0, 1], apart[0, 2] = 8, -5, 5
    yield case("deltas that differ from class to class", torch.tensor([[0.0, 3.0, 2.5]]), apart, roi, size)
    twice = torch.tensor([[0.0, 3.0, -9.0], [0.0, 4.0, -9.0]])
    pair = xyxy((10, 10, 30, 30), (12, 10, 32, 30))
    yield case("two boxes of one class about one object", twice, still.repeat(2, 1, 1), pair, size)
    yield case("the same, with a threshold of 0.9", twice, still.repeat(2, 1, 1), pair, size, 0.05, 0.9)
    out = xyxy((60, 40, 100, 90))
    yield case("a box that reaches out of the image", torch.tensor([[0.0, 6.0, 0.0]]), still, out, size)
    gone = xyxy((100, 10, 120, 30))
    yield case("a box that lies outside it altogether", torch.tensor([[0.0, 6.0, 0.0]]), still, gone, size)
    yield case("a score of exactly `box_score_thresh`", torch.zeros(1, 2), still[:, :2], roi, size, 0.5)
    yield case("no proposal", torch.zeros(0, 3), torch.zeros(0, 3, 4), roi[:0], size)
    line = torch.cat([xyxy((10 * n, 0, 10 * n + 9, 9)) for n in range(8)])
    rising = torch.stack([torch.zeros(8), torch.linspace(1, 3, 8), torch.linspace(2, 0, 8)], 1)
    yield case("more than `most`", rising, torch.zeros(8, 3, 4), line, size, 0.05, 0.5, 5)
    crowd = torch.cat([roi + 0.5 * n for n in range(6)] + [xyxy((50, 5, 70, 25))])
    steep = torch.stack([torch.zeros(7), torch.linspace(5, 2, 7), torch.full((7,), -9.0)], 1)
    yield case("a crowd about one object, and `most` 2", steep, torch.zeros(7, 3, 4), crowd, size, 0.05, 0.5, 2)
    rois = boxes(generator, 30).clamp(min=0)
    some = 2 * torch.randn(30, 5, generator=generator), torch.randn(30, 5, 4, generator=generator)
    yield case("many", *some, rois, (90, 110))
    corners = xyxy((1010, 1010, 1050, 1050), (10, 10, 50, 50))
    split = torch.tensor([[0.0, 3.0, -9.0], [0.0, -9.0, 4.0]])
    yield case("a large image, a class in each corner", split, still.repeat(2, 1, 1), corners, (1200, 1200))
    yield case("many, with other numbers", *some, rois, (110, 90), 0.2, 0.3, 12)
    yield case("float64", *[one.double() for one in (*some, rois)], (90, 110))


def _post(
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    size: Size,
    least: float,
    threshold: float,
    most: int,
    change: str,
) -> dict[str, Tensor]:
    """The reference with one thing changed."""
    scores = logits.softmax(-1)[:, 1:].flatten()
    if change == "sigmoid":
        scores = logits.sigmoid()[:, 1:].flatten()
    if change == "no background":
        scores = logits[:, 1:].softmax(-1).flatten()
    asked = deltas[:, :1].expand_as(deltas[:, 1:]) if change == "deltas of the background" else deltas[:, 1:]
    asked = deltas[:, :-1] if change == "deltas off by one" else asked
    weights = (1.0, 1.0, 1.0, 1.0) if change == "no weights" else WEIGHTS
    found = decode_boxes(asked, rois[:, None], weights)
    edge = (size[1], size[0]) if change == "swapped" else size
    found = (found if change == "unclipped" else clip_boxes(found, edge)).reshape(-1, 4)
    labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
    if change == "other order":
        labels = torch.arange(1, logits.shape[1]).repeat_interleave(len(rois))
    sound = (scores >= least) if change == "at least" else (scores > least)
    if change not in ("unclipped", "empty boxes"):
        sound &= (found[:, 2:] - found[:, :2] >= 1e-2).all(1)
    if change == "argmax":
        sound &= torch.isin(labels, labels) & (logits.argmax(1)[:, None] == torch.arange(1, logits.shape[1])).flatten()
    found, labels, scores = found[sound], labels[sound], scores[sound]
    if change == "most first":
        best = scores.argsort(descending=True, stable=True)[:most]
        found, labels, scores = found[best], labels[best], scores[best]
    groups = torch.zeros_like(labels) if change == "across classes" else labels
    kept = nms_by_group(found.clamp(min=0), scores, groups, threshold, ops.nms)[:most]
    if change == "1000 apart":
        kept = ops.nms(found + 1000 * labels[:, None], scores, threshold)[:most]
    if change == "no suppression":
        kept = scores.argsort(descending=True, stable=True)[:most]
    if change == "class by class":
        kept = kept[labels[kept].argsort(stable=True)]
    return {"boxes": found[kept], "labels": labels[kept] - int(change == "from 0"), "scores": scores[kept]}


def _changed(words: str, change: str) -> Mistake:
    def answer(
        logits: Tensor,
        deltas: Tensor,
        rois: Tensor,
        size: Size,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
    ) -> dict[str, Tensor]:
        return _post(logits, deltas, rois, size, score_thresh, nms_thresh, detections_per_img, change)

    return Mistake(words, answer)


def _in_float(*args: Any) -> dict[str, Tensor]:
    found = postprocess(*args)
    return found | {"labels": found["labels"].to(found["scores"].dtype)}


def _constants(logits: Tensor, deltas: Tensor, rois: Tensor, size: Size, *numbers: Any) -> dict[str, Tensor]:
    return postprocess(logits, deltas, rois, size)


POST = Exercise(
    "postprocess",
    lesson=7,
    minutes=30,
    reference=postprocess,
    cases=_post_cases,
    library=("torchvision.models.detection.roi_heads.RoIHeads",),
    hints=(
        "“A dog beside a cat is gone.” Two boxes drop each other only if they are of the same class. So NMS has to be done "
        "class by class; or move each class to a place of its own, farther off than the image is large, and do it once.",
        "“The boxes hardly differ from the proposals”, or “they fly apart.” Each proposal has a box for every class: decode "
        "deltas[:, 1:] against rois[:, None], with the weights (10, 10, 5, 5), then clamp x at the width and y at the height.",
        "“Nearly there.” scores = logits.softmax(-1)[:, 1:]. Flatten scores, boxes and labels in the same order: class by "
        "class within a proposal. Keep score > box_score_thresh and sides of 0.01 and more; nms(boxes + labels × offset, …); the "
        "first `most` of what it keeps.",
    ),
    mistakes=(
        _changed("labels are counted from 0: every detection has the name of the class before", "from 0"),
        _changed("only the best class of each proposal counts", "argmax"),
        _changed("a box of one class drops a box of another", "across classes"),
        _changed("classes are moved apart by 1000, and this image is larger: they meet again", "1000 apart"),
        _changed("there is no suppression at all", "no suppression"),
        _changed(
            "the background is left out before the softmax: unsure proposals become sure objects", "no background"
        ),
        _changed("sigmoid in place of softmax", "sigmoid"),
        _changed("all classes get the box of the background", "deltas of the background"),
        _changed("each class gets the box of the class before it", "deltas off by one"),
        _changed("the weights (10, 10, 5, 5) are missing: boxes move ten times too far", "no weights"),
        _changed("boxes reach out of the image", "unclipped"),
        _changed("height and width are swapped where boxes are cut", "swapped"),
        _changed("a box that lies outside the image stays, without any area", "empty boxes"),
        _changed("the best `most` are taken before the suppression: doubles fill the places", "most first"),
        _changed("a score of exactly `box_score_thresh` is kept (>= for >)", "at least"),
        _changed("labels go through the proposals in another order than the scores", "other order"),
        _changed("they come out class by class, not best first", "class by class"),
        Mistake("labels are floats, not int64", _in_float),
        Mistake("`box_score_thresh`, `threshold` and `most` are not used", _constants),
    ),
)


# FasterRCNN

USUAL: dict[str, Any] = {
    "num_classes": 3, "ratios": (1.0, 2.0), "anchor_sizes": ((16.0,), (32.0,), (48.0,)), "rpn_batch_size_per_image": 10**6,
    "box_batch_size_per_image": 10**6, "rpn_pre_nms_top_n": (30, 20), "rpn_post_nms_top_n": (24, 16), "box_score_thresh": 0.2,
}  # fmt: skip


def _detector_cases(generator: torch.Generator) -> Iterator[Case]:
    one = xyxy((8, 8, 40, 40))
    yield _assembly("one image with one object", [(64, 64)], [one], [torch.tensor([2])])
    yield _assembly("an image with nothing in it", [(64, 64)], [one[:0]], [torch.tensor([], dtype=torch.int64)])
    two = [one, xyxy((3, 20, 30, 50), (40, 4, 60, 24), (0, 0, 30, 20))]
    sizes = [(64, 50), (40, 96)]
    yield _assembly("two images, padded to one size", sizes, two, [torch.tensor([2]), torch.tensor([1, 3, 3])])
    other = {"box_nms_thresh": 0.2, "box_detections_per_img": 4, "rpn_nms_thresh": 0.5, "canonical_scale": 24}
    yield _assembly(
        "other numbers in options", sizes[::-1], two[::-1], [torch.tensor([1, 3, 3]), torch.tensor([2])], **other
    )
    few = {"rpn_batch_size_per_image": 20, "box_batch_size_per_image": 8}
    yield _assembly("few anchors and RoIs to sample", sizes, two, [torch.tensor([2]), torch.tensor([1, 3, 3])], **few)


def _assembly(words: str, sizes: list[Size], truth: list[Tensor], labels: list[Tensor], **options: Any) -> Case:
    return case(words, sizes, truth, labels, *([options] if options else []))


class _SmallBackbone(nn.Module):
    """Three maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.strides, self.channels = [8, 16, 32], [4, 5, 6]
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 5, 2, 2), nn.Conv2d(5, 6, 2, 2)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → maps, finest first."""
        maps = []
        for layer in self.layers:
            images = layer(images).tanh()
            maps.append(images)
        return maps


def _small_parts() -> list[nn.Module]:
    """Backbone, FPN and both heads, of fixed random weights, such that scores and boxes spread."""
    before = torch.get_rng_state()
    torch.manual_seed(0)
    parts: list[nn.Module] = [_SmallBackbone(), FPN([4, 5, 6], 8), RPNHead(8, 2), BoxHead(8, 3, 16)]
    with torch.no_grad():
        for part in parts:
            for weight in part.parameters():
                spread = 1.5 / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1
                weight.copy_(spread * torch.randn(weight.shape))
        body: Any = parts[0]
        body.layers[0].weight *= 3
    torch.set_rng_state(before)
    return parts


def _use_detector(
    answer: Answer,
    sizes: list[Size],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    options: dict[str, Any] | None = None,
) -> Any:
    """The losses in training mode, how far each part's weights would move, and the detections in eval mode.

    All anchors and all RoIs are sampled, so nothing depends on what is drawn. Where `options` has fewer, it is only
    counted how many the losses ask.
    """
    made = _small_parts()
    options = options or {}
    detector = _made(answer, made, Options(**USUAL | options))
    batch, asked = _batch(sizes), _count_asked(made[2], made[3])
    targets = [{"boxes": box, "labels": label} for box, label in zip(boxes, labels, strict=True)]
    with _explained():
        losses = detector.train().losses(batch, sizes, targets)
    if isinstance(losses, dict) and losses and all(one.requires_grad for one in losses.values()):
        torch.stack(list(losses.values())).sum().backward()
    if options.keys() & {"rpn_batch_size_per_image", "box_batch_size_per_image"}:
        return asked
    moved = [sum(float(w.grad.abs().sum()) for w in part.parameters() if w.grad is not None) for part in made]
    with torch.no_grad(), _explained():
        found = detector.eval().predict(batch, sizes)
    kept = sorted(losses) if isinstance(losses, dict) else losses
    return {
        "losses": {name: losses[name] for name in kept} if isinstance(losses, dict) else losses,
        "gradients of backbone, FPN, RPN head and box head": torch.tensor(moved),
        "detections": list(found) if isinstance(found, list | tuple) else found,
    }


def _made(answer: Answer, parts: list[nn.Module], options: Options) -> Any:
    detector = answer(*parts, options)
    if not isinstance(detector, nn.Module):
        raise TypeError(f"FasterRCNN(…) should make an nn.Module, and made a {type(detector).__name__}")
    return detector


def _batch(sizes: list[Size]) -> Tensor:
    """(B, 3, H, W) noise in images of these heights and widths, padded to multiples of 32."""
    height, width = (-(-max(side) // 32) * 32 for side in zip(*sizes, strict=True))
    batch = torch.zeros(len(sizes), 3, height, width)
    pixels = torch.Generator().manual_seed(1)
    for image, (high, wide) in zip(batch, sizes, strict=True):
        image[:, :high, :wide] = torch.randn(3, high, wide, generator=pixels)
    return batch


def _count_asked(rpn_head: nn.Module, box_head: nn.Module) -> dict[str, int]:
    """How many anchors and RoIs the losses ask, filled in as they are computed and go backward."""
    asked = {"anchors sampled": 0, "RoIs sampled": 0}

    def count_anchors(gradient: Tensor) -> None:
        asked["anchors sampled"] += int((gradient != 0).sum())

    def wait_for_gradient(module: nn.Module, levels: Any, said: Any) -> None:
        if said[0].requires_grad:
            said[0].register_hook(count_anchors)

    def count_rois(module: nn.Module, patches: Any, said: Any) -> None:
        asked["RoIs sampled"] += len(said[0])

    rpn_head.register_forward_hook(wait_for_gradient)
    box_head.register_forward_hook(count_rois)
    return asked


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong where a pair of options is passed whole, in words that name it."""
    try:
        yield
    except TypeError as error:
        if "tuple" in str(error):
            pair = "Is rpn_pre_nms_top_n or _after passed whole? It is a pair: [0] in training, [1] at test time."
            error.args = (f"{error}. {pair}",)
        raise


class _NoRPN(FasterRCNN):
    def losses(self, *args: Any) -> Any:
        return {name: value for name, value in super().losses(*args).items() if name[5:] in ("classifier", "box_reg")}


class _SummedUp(FasterRCNN):
    def losses(self, *args: Any) -> Any:
        return torch.stack(list(super().losses(*args).values())).sum()


def _padded(sizes: list[Size]) -> list[Size]:
    """The size of the batch that these images make, for each of them."""
    high, wide = _batch(sizes).shape[2:]
    return [(high, wide)] * len(sizes)


def _turned(sizes: list[Size]) -> list[Size]:
    return [(wide, high) for high, wide in sizes]


def _proposing(
    sizes_for: Callable[[list[Size]], list[Size]] = lambda sizes: sizes,
    mode_for: Callable[[bool], bool] = lambda training: training,
    detect_too: bool = False,
) -> type[FasterRCNN]:
    """The reference, with the sizes or the mode changed that `propose` is given; also those of `postprocess`."""

    class Changed(FasterRCNN):
        def propose(self, logits: Tensor, deltas: Tensor, anchors: list[Tensor], sizes: list[Size]) -> list[Tensor]:
            before, self.training = self.training, mode_for(self.training)
            found = super().propose(logits, deltas, anchors, sizes if detect_too else sizes_for(sizes))
            self.training = before
            return found

        def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
            return super().predict(batch, sizes_for(sizes) if detect_too else sizes)

        def losses(self, batch: Tensor, sizes: list[Size], *others: Any) -> dict[str, Tensor]:
            return super().losses(batch, sizes_for(sizes) if detect_too else sizes, *others)

    return Changed


class _PaddedAtLast(FasterRCNN):
    """`postprocess` alone cuts at the padded batch."""

    def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
        own = self.parts.postprocess
        parts = {**vars(self.parts), "postprocess": lambda a, b, c, size, *more: own(a, b, c, _padded(sizes)[0], *more)}
        before, self.parts = self.parts, type(self.parts)(**parts)
        found = super().predict(batch, sizes)
        self.parts = before
        return found


def _with_usual(**usual: Any) -> type[FasterRCNN]:
    """The reference, whose losses take these numbers whatever options say."""

    class Changed(FasterRCNN):
        def losses(self, *args: Any) -> dict[str, Tensor]:
            before, self.options = self.options, replace(self.options, **usual)
            found = super().losses(*args)
            self.options = before
            return found

    return Changed


class _FirstImage(FasterRCNN):
    def propose(self, logits: Tensor, deltas: Tensor, anchors: list[Tensor], sizes: list[Size]) -> list[Tensor]:
        return [super(_FirstImage, self).propose(logits[:1], deltas[:1], anchors, [size])[0] for size in sizes]


class _CoarsestFirst(FasterRCNN):
    def box_branch(self, levels: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        return super().box_branch([*reversed(levels)], boxes)


class _Still(FasterRCNN):
    def _dense(self, batch: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        with torch.no_grad():
            maps = self.backbone(batch)
        levels = self.fpn(maps)
        return levels, *self.rpn_head(levels)


class _Detached(FasterRCNN):
    def box_branch(self, levels: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        return super().box_branch([one.detach() for one in levels], boxes)


class _NoOptions(FasterRCNN):
    def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
        plain = Options(self.options.num_classes, self.options.anchor_sizes)
        numbers = {
            name: getattr(plain, name) for name in ("box_score_thresh", "box_nms_thresh", "box_detections_per_img")
        }
        before = {name: getattr(self.options, name) for name in numbers}
        self._set(numbers)
        found = super().predict(batch, sizes)
        self._set(before)
        return found

    def _set(self, numbers: dict[str, Any]) -> None:
        for name, value in numbers.items():
            object.__setattr__(self.options, name, value)


class _ByImage(FasterRCNN):
    """The second stage's losses image by image, then their mean."""

    def losses(self, batch: Tensor, sizes: list[Size], targets: Any, seeds: Any = None) -> dict[str, Tensor]:
        whole = super().losses(batch, sizes, targets, seeds)
        each = [super(_ByImage, self).losses(batch[[i]], [sizes[i]], [targets[i]]) for i in range(len(sizes))]
        second = {name: torch.stack([one[name] for one in each]).mean() for name in ("loss_classifier", "loss_box_reg")}
        return {**whole, **second}


class _OnlyRPN(FasterRCNN):
    """Detections from the RoIs of the anchors, without proposals: every proposal of image 0 in every image."""

    def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
        found = super().predict(batch, sizes)
        return [found[0]] * len(found)


DETECTOR = Exercise(
    "FasterRCNN",
    lesson=7,
    minutes=30,
    reference=FasterRCNN,
    cases=_detector_cases,
    call=_use_detector,
    tolerance=1e-4,
    library=("torchvision.models.detection.FasterRCNN", "torchvision.models.detection.faster_rcnn.FasterRCNN"),
    hints=(
        "“It stumbles over shapes.” What is made once for the whole batch (maps, the RPN's words, anchors), and what image by "
        "image (propose, sample_rois, postprocess)? Print the shapes of the first kind; [i] makes one image's of it.",
        "“Right for one image, wrong for two.” sizes[i] is the image without its padding: that is what propose and "
        "postprocess cut at. The second stage sees all images' RoIs in one long list; .split(counts) parts it again.",
        "“Nearly there.” losses: first_stage; rpn_losses(logits, deltas, torch.cat(anchors), all boxes, "
        "options.rpn_batch_size_per_image); for each image sample_rois(…, options.box_batch_size_per_image); box_branch(levels, rois); "
        "detection_losses(…, torch.cat(rois), torch.cat(labels), torch.cat(boxes)); both dicts in one.",
    ),
    mistakes=(
        Mistake("the RPN's two losses are left out: it never learns to propose", _NoRPN),
        Mistake("the losses are summed up: four numbers by name tell much more", _SummedUp),
        Mistake("proposals are cut at the padded batch, not at the image", _proposing(_padded)),
        Mistake(
            "proposals and detections are cut at the padded batch, not at the image",
            _proposing(_padded, detect_too=True),
        ),
        Mistake("detections are cut at the padded batch, not at the image", _PaddedAtLast),
        Mistake("height and width are swapped where proposals are cut", _proposing(_turned)),
        Mistake(
            "rpn_pre_nms_top_n and _after are those of training, also in eval mode", _proposing(mode_for=lambda _: True)
        ),
        Mistake(
            "rpn_pre_nms_top_n and _after are those of test time, also in training",
            _proposing(mode_for=lambda _: False),
        ),
        Mistake(
            "the pairs in options are read the wrong way round: the first is for training",
            _proposing(mode_for=lambda now: not now),
        ),
        Mistake(
            "`rpn_batch_size_per_image` of options is not given to rpn_losses",
            _with_usual(rpn_batch_size_per_image=256),
        ),
        Mistake(
            "`box_batch_size_per_image` of options is not given to sample_rois",
            _with_usual(box_batch_size_per_image=64),
        ),
        Mistake(
            "rpn_batch_size_per_image and box_batch_size_per_image of options are not used",
            _with_usual(rpn_batch_size_per_image=256, box_batch_size_per_image=64),
        ),
        Mistake("every image gets the first image's proposals", _FirstImage),
        Mistake("the levels are given to the second stage coarsest first", _CoarsestFirst),
        Mistake("no gradient reaches the backbone", _Still),
        Mistake("the maps are detached before the second stage: only the RPN teaches the pyramid", _Detached),
        Mistake("postprocess doesn't get the numbers in options", _NoOptions),
        Mistake("the second stage's losses are means image by image: one list of all RoIs is meant", _ByImage),
        Mistake("every image gets the first image's detections", _OnlyRPN),
    ),
)

EXERCISES = (SAMPLE, LOSSES, POST, DETECTOR)
