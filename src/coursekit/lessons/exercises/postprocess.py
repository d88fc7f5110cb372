"""Exercise 7.3: turn what the box head predicts for one image into detections."""

import operator
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image, nms

from coursekit.detector import decode_boxes, postprocess
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    roi, size, no_deltas = xyxy((10, 10, 30, 30)), (60, 80), torch.zeros(1, 3, 4)
    yield case("one proposal, one confident class", torch.tensor([[0.0, 0.0, 6.0]]), no_deltas, roi, size)
    yield case("a proposal that is clearly background", torch.tensor([[9.0, 0.0, 1.0]]), no_deltas, roi, size)
    yield case("two classes in one place", torch.tensor([[0.0, 3.0, 2.5]]), no_deltas, roi, size)
    deltas = torch.tensor([8.0, -5.0, 5.0]).view(1, 3, 1).repeat(1, 1, 4)
    yield case("deltas that differ from class to class", torch.tensor([[0.0, 3.0, 2.5]]), deltas, roi, size)
    pair, logits = xyxy((10, 10, 30, 30), (12, 10, 32, 30)), torch.tensor([[0.0, 3.0, -9.0], [0.0, 4.0, -9.0]])
    yield case("two boxes of one class around one object", logits, no_deltas.repeat(2, 1, 1), pair, size)
    yield case("the same, with an nms_thresh of 0.9", logits, no_deltas.repeat(2, 1, 1), pair, size, 0.05, 0.9)
    confident = torch.tensor([[0.0, 6.0, 0.0]])
    yield case("a box across the edges of the image", confident, no_deltas, xyxy((60, 40, 100, 90)), size)
    yield case("a box outside the image", confident, no_deltas, xyxy((100, 10, 120, 30)), size)
    yield case("a score of exactly score_thresh", torch.zeros(1, 2), no_deltas[:, :2], roi, size, 0.5)
    two, sure = no_deltas[:, :2].repeat(2, 1, 1), torch.tensor([[0.0, 4.0], [0.0, 3.0]])
    halves, long = xyxy((0, 0, 16, 16), (0, 0, 16, 8)), xyxy((0, 0, 20, 10), (0, 0, 60, 10))
    yield case("an IoU of exactly nms_thresh", sure, two, halves, size)
    yield case("boxes that are nearly the same only after clipping", sure, two, long, (60, 22))
    yield case("sides of 0.02 and of 0.005", sure, two, xyxy((5, 5, 5.02, 30), (30, 30, 60, 30.005)), size)
    yield case("a side of exactly 0.01", sure, two, xyxy((0, 5, 0.01, 30), (30, 30, 60, 40)), size)
    yield case(
        "equal scores: the first proposal comes first",
        sure[[0, 0]],
        two,
        pair.flip(0) + xyxy((0, 0, 0, 0), (9, 9, 9, 9)),
        size,
    )
    yield case("logits of 200 and -200", torch.tensor([[-200.0, 200.0], [200.0, -200.0]]), two, halves, size)
    yield case("no proposals", torch.zeros(0, 3), torch.zeros(0, 3, 4), roi[:0], size)
    row = torch.cat([xyxy((10 * n, 0, 10 * n + 9, 9)) for n in range(8)])
    logits = torch.stack([torch.zeros(8), torch.linspace(1, 3, 8), torch.linspace(2, 0, 8)], 1)
    yield case("more than detections_per_img", logits, torch.zeros(8, 3, 4), row, size, 0.05, 0.5, 5)
    heap = torch.cat([roi + 0.5 * n for n in range(6)] + [xyxy((50, 5, 70, 25))])
    logits = torch.stack([torch.zeros(7), torch.linspace(5, 2, 7), torch.full((7,), -9.0)], 1)
    yield case(
        "many boxes around one object, two detections_per_img", logits, torch.zeros(7, 3, 4), heap, size, 0.05, 0.5, 2
    )
    rois = case_inputs.boxes(generator, 30).clamp(min=0)
    logits, deltas = 2 * torch.randn(30, 5, generator=generator), torch.randn(30, 5, 4, generator=generator)
    yield case("30 proposals", logits, deltas, rois, (90, 110))
    corners = xyxy((1010, 1010, 1050, 1050), (10, 10, 50, 50))
    apart = torch.tensor([[0.0, 3.0, -9.0], [0.0, -9.0, 4.0]])
    yield case("a large image, a class in each corner", apart, no_deltas.repeat(2, 1, 1), corners, (1200, 1200))
    yield case("30 proposals, other thresholds", logits, deltas, rois, (110, 90), 0.2, 0.3, 12)
    yield on_a_gpu(logits, deltas, rois, (90, 110), what="predictions and proposals")
    yield case("float64", logits.double(), deltas.double(), rois.double(), (90, 110))


# Wrong answers. `_detect` is right as long as its options are left alone.


def _detect(
    logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100,
    *, to_scores=lambda logits: logits.softmax(1)[:, 1:], of_classes=lambda deltas: deltas[:, 1:], weights=(10.0, 10.0, 5.0, 5.0),
    clip=clip_boxes_to_image, min_side=0.01, exceeds=operator.gt, repeat=Tensor.repeat, suppress=batched_nms,
    clip_last=lambda boxes, size: boxes,
):  # fmt: skip
    scores = to_scores(logits).flatten()
    boxes = clip(decode_boxes(of_classes(deltas), rois[:, None], weights).reshape(-1, 4), size)
    labels = repeat(torch.arange(1, logits.shape[1], device=logits.device), len(rois))
    good = exceeds(scores, score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= min_side).all(1)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = suppress(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": clip_last(boxes[kept], size), "labels": labels[kept], "scores": scores[kept]}


def _changed(words="", **options):
    return Wrong(partial(_detect, **options), words)


def _no_nms(boxes, scores, labels, nms_thresh):
    return scores.argsort(descending=True, stable=True)


def _offset(pixels):
    return lambda boxes, scores, labels, nms_thresh: nms(boxes + pixels * labels[:, None], scores, nms_thresh)


def _best_class(logits):
    scores = logits.softmax(1)
    return torch.where(scores == scores.amax(1, keepdim=True), scores, 0)[:, 1:]


def _best_object(logits):
    scores = logits.softmax(1)[:, 1:]
    return torch.where(scores == scores.amax(1, keepdim=True), scores, 0)


def labels_from_0(*args):
    detections = _detect(*args)
    return detections | {"labels": detections["labels"] - 1}


def float_labels(*args):
    detections = _detect(*args)
    return detections | {"labels": detections["labels"].to(detections["scores"].dtype)}


def default_numbers(logits, deltas, rois, size, *numbers):
    return _detect(logits, deltas, rois, size)


def cut_before_nms(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    best = _detect(logits, deltas, rois, size, score_thresh, nms_thresh, detections_per_img, suppress=_no_nms)
    kept = batched_nms(best["boxes"], best["scores"], best["labels"], nms_thresh)
    return {name: value[kept] for name, value in best.items()}


def _drops_at_the_threshold(boxes, scores, labels, nms_thresh):
    return batched_nms(boxes, scores, labels, nms_thresh - 1e-6)


def clipped_after_nms(*args):
    detections = _detect(*args, clip=lambda boxes, size: boxes, clip_last=clip_boxes_to_image)
    large = (detections["boxes"][:, 2:] - detections["boxes"][:, :2] >= 0.01).all(1)
    return {name: value[large] for name, value in detections.items()}


def boxes_without_area_only(*args):
    return _detect(*args, min_side=1e-9)


def in_the_order_given(*args):
    return _detect(*args, suppress=lambda *inputs: batched_nms(*inputs).sort()[0])


def deltas_applied_twice(logits, deltas, rois, size, *numbers):
    return _detect(logits, 2 * deltas, rois, size, *numbers)


def fails_without_proposals(logits, deltas, rois, size, *numbers):
    if not len(rois):
        raise IndexError("max(): Expected reduction dim to be specified for input.numel() == 0")
    return _detect(logits, deltas, rois, size, *numbers)


def a_tuple(*args):
    return tuple(_detect(*args).values())


def labels_on_the_cpu(logits, deltas, rois, size, *numbers):
    detections = _detect(logits, deltas, rois, size, *numbers)
    labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
    kept = torch.zeros_like(detections["labels"])
    return detections | {"labels": detections["labels"] + 0 * (labels[:1] if len(labels) else 0) * kept}


def worst_first(*args):
    return {name: value.flip(0) for name, value in _detect(*args).items()}


def corners_and_sizes(*args):
    detections = _detect(*args)
    boxes = detections["boxes"]
    return detections | {"boxes": torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)}


def sorted_by_class(*args):
    detections = _detect(*args)
    order = detections["labels"].argsort(stable=True)
    return {name: value[order] for name, value in detections.items()}


def first_of_each_class(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    detections = _detect(logits, deltas, rois, size, score_thresh, nms_thresh, 10**6)
    by_class = [torch.where(detections["labels"] == label)[0] for label in range(1, logits.shape[1])]
    kept = torch.cat([rows[:detections_per_img] for rows in by_class])
    return {name: value[kept] for name, value in detections.items()}


def background_as_a_class(logits, deltas, rois, size, *numbers):
    nothing = torch.full_like(logits[:, :1], -torch.inf)
    detections = _detect(torch.cat([nothing, logits], 1), torch.cat([deltas[:, :1], deltas], 1), rois, size, *numbers)
    return detections | {"labels": detections["labels"] - 1}


def proposals_as_boxes(logits, deltas, rois, size, *numbers):
    return _detect(logits, torch.zeros_like(deltas), rois, size, *numbers)


# Other right answers.


def class_by_class(*args):
    def suppress(boxes, scores, labels, nms_thresh):
        of_class = [torch.where(labels == label)[0] for label in labels.unique()]
        kept = torch.cat([rows[nms(boxes[rows], scores[rows], nms_thresh)] for rows in of_class] or [labels])
        return kept[scores[kept].argsort(descending=True)]

    return _detect(*args, suppress=suppress)


def with_an_offset(logits, deltas, rois, size, *numbers):
    return _detect(logits, deltas, rois, size, *numbers, suppress=_offset(max(size) + 1))


EXERCISE = Exercise(
    "postprocess",
    lesson=7,
    minutes=30,
    reference=postprocess,
    cases=cases,
    call=anywhere,
    library=("torchvision.models.detection.roi_heads.RoIHeads",),
    hints=(
        "“The dog next to the cat is gone.” A box should suppress only boxes of its own class. Run NMS class by class, or shift "
        "each class by an offset larger than the image and run it once.",
        "“My boxes hardly differ from the proposals”, or “my boxes are far too large.” Each proposal has deltas for every class: "
        "decode deltas[:, 1:] against rois[:, None], with the weights (10, 10, 5, 5). Then clamp x to the width and y to the height.",
        "“Nearly there.” scores = logits.softmax(-1)[:, 1:]. Flatten scores, boxes and labels in the same order: all classes of "
        "the first proposal, then of the second. Keep what has score > score_thresh and sides of at least 0.01. Then "
        "nms(boxes + labels[:, None] * offset, scores, nms_thresh)[:detections_per_img].",
    ),
    wrong=(
        Wrong(labels_from_0, "labels count from 0: each detection has the name of the class before"),
        _changed("only the best class of each proposal is kept", to_scores=_best_class),
        _changed("a box suppresses boxes of other classes", suppress=_offset(0)),
        _changed("classes are 1000 pixels apart, but this image is larger, so they overlap", suppress=_offset(1000)),
        _changed("there is no NMS", suppress=_no_nms),
        _changed(
            "the background is dropped before the softmax: uncertain proposals become confident detections",
            to_scores=lambda logits: logits[:, 1:].softmax(1),
        ),
        _changed("sigmoid instead of softmax", to_scores=lambda logits: logits.sigmoid()[:, 1:]),
        _changed(
            "all classes get the box of the background",
            of_classes=lambda deltas: deltas[:, :1].expand_as(deltas[:, 1:]),
        ),
        _changed("each class gets the box of the class before", of_classes=lambda deltas: deltas[:, :-1]),
        _changed("the weights (10, 10, 5, 5) are missing: boxes move ten times too far", weights=(1.0,) * 4),
        _changed("boxes are not clipped to the image", clip=lambda boxes, size: boxes),
        _changed(
            "height and width are swapped where boxes are clipped",
            clip=lambda boxes, size: clip_boxes_to_image(boxes, size[::-1]),
        ),
        _changed("a box outside the image is kept, with an area of 0", min_side=-1),
        Wrong(cut_before_nms, "the best detections_per_img are taken before NMS, so duplicates take their places"),
        _changed("a score of exactly score_thresh is kept: >= instead of >", exceeds=operator.ge),
        _changed("labels and scores are flattened in different orders", repeat=Tensor.repeat_interleave),
        Wrong(sorted_by_class, "detections are sorted by class, not by score"),
        Wrong(float_labels, "labels are floats, not int64"),
        Wrong(default_numbers, "score_thresh, nms_thresh and detections_per_img are not used"),
        _changed("an IoU of exactly nms_thresh is dropped: >= instead of >", suppress=_drops_at_the_threshold),
        Wrong(clipped_after_nms, "boxes are clipped after NMS instead of before"),
        Wrong(boxes_without_area_only, "only boxes without area are dropped: the limit is 0.01"),
        _changed("a side of 0.02 is dropped: the limit is 0.01", min_side=0.1),
        Wrong(in_the_order_given, "detections are in the order of the proposals, not best first"),
        Wrong(fails_without_proposals, "it fails if there are no proposals"),
        Wrong(proposals_as_boxes, "the deltas are not used: the boxes are the proposals"),
        Wrong(background_as_a_class, "the background is a class, too: drop column 0"),
        Wrong(first_of_each_class, "detections_per_img is applied to each class: it is for all together"),
        Wrong(a_tuple, "it returns a tuple, not a dict"),
        _changed("only the best object class of each proposal is kept", to_scores=_best_object),
        _changed("the scores are logits: there is no softmax", to_scores=lambda logits: logits[:, 1:]),
        _changed("boxes of different classes are only 1 pixel apart, so they overlap", suppress=_offset(1)),
        Wrong(worst_first, "the worst detections come first"),
        Wrong(corners_and_sizes, "the boxes are (left, top, width, height): return two corners"),
        _changed(
            "boxes are clipped to the last pixel, not to the edge of the image",
            clip=lambda boxes, size: clip_boxes_to_image(boxes, (size[0] - 1, size[1] - 1)),
        ),
        Wrong(deltas_applied_twice),
        Wrong(labels_on_the_cpu),
    ),
    right=(class_by_class, with_an_offset),
)
