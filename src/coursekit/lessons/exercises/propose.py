"""Exercise 5.4, `propose`: from the RPN's predictions to the boxes of one image to pass to the second stage."""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from coursekit.detector import decode_boxes, nms, propose
from coursekit.lessons.case_inputs import clusters, xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

GRID = xyxy((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (0, 20, 10, 30))


def cases(generator: torch.Generator) -> Iterator[Case]:
    def predicted(anchors: Tensor, spread: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
        ranks = torch.randperm(len(anchors), generator=generator) / len(anchors) * 6 - 4
        return ranks, spread * torch.randn(len(anchors), 4, generator=generator), anchors

    anchors, still = GRID + 5, torch.zeros(4, 4)
    logits = torch.tensor([0.1, 2.0, -1.0, 0.5])
    yield case("four boxes apart, deltas of 0", logits, still, anchors, [4], (60, 60))
    moved = still.clone()
    moved[0, 0], moved[3, 3] = 0.5, 0.7
    yield case("the same, two of them moved or grown", logits, moved, anchors, [4], (60, 60))
    yield case(
        "two boxes that are nearly the same", logits[:2], still[:2], xyxy((5, 5, 25, 25), (5, 5, 25, 24)), [2], (60, 60)
    )
    over = xyxy((-6, -4, 10, 12), (40, 20, 70, 50))
    yield case("boxes across the edges of an image 30 high and 60 wide", logits[:2], still[:2], over, [2], (30, 60))
    outside = xyxy((70, 5, 90, 20), (5, 5, 20, 20))
    yield case("a box completely outside the image", logits[:2].flip(0), still[:2], outside, [2], (60, 60))
    same = xyxy((5, 5, 25, 25), (40, 40, 50, 50), (5, 5, 25, 25), (30, 0, 40, 10))
    yield case("the same box on two levels", logits, still, same, [2, 2], (60, 60))
    yield case("two levels, the second with higher scores", logits.sort()[0], still, anchors, [3, 1], (60, 60))
    yield case("only the best box of each level goes in", logits, still, anchors, [2, 2], (60, 60), 1)
    pair = xyxy((5, 5, 25, 25), (5, 5, 25, 24), (40, 40, 50, 50), (30, 0, 40, 10))
    order = torch.tensor([3.0, 2.0, 1.0, 0.0])
    yield case(
        "two proposals asked for, and the best two boxes nearly the same", order, still, pair, [4], (60, 60), 500, 2
    )
    yield case("an objectness of at least 0.5", logits, still, anchors, [4], (60, 60), 500, 300, 0.7, 0.5)
    half = torch.tensor([0.1, 2.0, -1.0, 0.0])
    yield case(
        "an objectness of exactly 0.5, the lowest that is asked",
        half,
        still,
        anchors,
        [4],
        (60, 60),
        500,
        300,
        0.7,
        0.5,
    )
    sure = torch.tensor([19.0, 25.0, 90.0, 18.0])
    yield case(
        "logits so large that their sigmoid is 1; the best of each level", sure, still, anchors, [3, 1], (60, 60), 1
    )
    halves = xyxy((0, 0, 16, 16), (0, 0, 16, 8), (40, 40, 50, 50), (30, 0, 40, 10))
    yield case("an IoU of exactly the threshold", order, still, halves, [4], (60, 60), 500, 300, 0.5)
    thin = xyxy((0, 0, 0.002, 8), (8, 8, 16, 8.0005), (8, 20, 8.0005, 30), (30, 0, 40, 10))
    yield case("sides of 0.002 and of 0.0005", order, still, thin, [4], (60, 60))
    exact = xyxy((0, 0, 1e-3, 8), (8, 8, 16, 16), (8, 20, 16, 30), (30, 0, 40, 10))
    yield case("a side of exactly 0.001", order, still, exact, [4], (60, 60))
    yield case("not a single box left", order, still, anchors, [4], (60, 60), 500, 300, 0.7, 0.99)
    yield case("a level without anchors", order, still, anchors, [3, 0, 1], (60, 60))
    yield case("float64", order.double(), still.double() + 0.1, anchors.double(), [2, 2], (60, 60))
    long = xyxy((0, 0, 20, 10), (0, 0, 60, 10))
    yield case("boxes that are the same only after clipping", logits[:2], still[:2], long, [2], (60, 22))
    yield case(
        "a lower threshold", *predicted(clusters(generator, 4, 8)[0].clamp(min=0)), [20, 12], (300, 300), 500, 300, 0.3
    )
    many = clusters(generator, 12, 10)[0]
    yield case("many, on three levels", *predicted(many), [70, 40, 10], (180, 240), 30, 25)
    yield case("many, few of which go in", *predicted(many, 0.6), [60, 50, 10], (150, 260), 8, 300, 0.5)
    yield on_a_gpu(order, still, anchors, [3, 1], (60, 60), what="predictions and anchors")


def call(answer: Answer, logits: Tensor, deltas: Tensor, *rest: Any) -> Any:
    """Return the proposals, and whether a gradient flows through them."""
    if is_elsewhere((logits,)):
        return anywhere(answer, logits, deltas, *rest)
    proposals = answer(logits.clone().requires_grad_(), deltas.clone().requires_grad_(), *rest)
    if not isinstance(proposals, Tensor):
        return proposals
    return {"proposals": proposals.detach(), "a gradient flows": proposals.requires_grad}


def proposed(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0,
    *, start_of=lambda start: start, clip="before", min_side=1e-3, groups=lambda level: level, sort=True,
    score=torch.sigmoid, reaches=operator.ge, top_of=lambda logits: logits,
):  # fmt: skip
    """Return the right answer; keyword arguments turn it into a wrong one."""
    best, level, start = [], [], 0
    for number, count in enumerate(level_sizes):
        order = top_of(logits[start : start + count]).sort(descending=True, stable=True).indices
        best.append(order[:pre_nms_top_n] + start_of(start))
        level.append(torch.full_like(best[-1], number))
        start += count
    best, level = torch.cat(best), torch.cat(level)
    boxes, scores = decode_boxes(deltas[best], anchors[best]).detach(), score(logits[best]).detach()
    boxes = clip_boxes_to_image(boxes, size) if clip == "before" else boxes
    keep = (boxes[:, 2:] - boxes[:, :2] >= min_side).all(1) & reaches(scores, score_thresh)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    order = batched_nms(boxes, scores, groups(level), nms_thresh)
    order = order if sort else order[level[order].argsort(stable=True)]
    boxes = clip_boxes_to_image(boxes[order], size) if clip == "after" else boxes[order]
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= min_side).all(1)][:post_nms_top_n]


def changed(**how):
    """Return `proposed` with a keyword changed."""
    return lambda *args: proposed(*args, **how)


def with_arguments(change):
    """Return the reference, called with changed arguments: `change` gets them by name."""
    names = (
        "logits",
        "deltas",
        "anchors",
        "level_sizes",
        "size",
        "pre_nms_top_n",
        "post_nms_top_n",
        "nms_thresh",
        "score_thresh",
    )
    defaults = (500, 300, 0.7, 0.0)

    def answer(*args):
        given = dict(zip(names, (*args, *defaults[len(args) - 5 :]), strict=True))
        return propose(**given | change(given))

    return answer


def only_best_of_all(given, count):
    """Only the best `count` anchors of all levels keep their logits; the others drop below every threshold."""
    logits = given["logits"]
    best = logits.topk(min(count, len(logits))).indices
    low = torch.full_like(logits, -99.0).index_copy(0, best, logits[best])
    return {"logits": low, "score_thresh": max(given["score_thresh"], 1e-9)}


def wrong_all_levels_in_one(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    best = logits.topk(min(pre_nms_top_n, len(logits))).indices
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = (scores >= score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= 1e-3).all(1)
    boxes, scores = boxes[keep], scores[keep]
    return boxes[nms(boxes, scores, nms_thresh)[:post_nms_top_n]]


def wrong_level_after_level(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    proposals = []
    for level in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        count = [len(level[0])]
        proposals.append(propose(*level, count, size, pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh))
    return torch.cat(proposals)[:post_nms_top_n]


def wrong_best_of_each_level_at_the_end(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    proposals, scores = [], []
    for level in zip(logits.split(level_sizes), deltas.split(level_sizes), anchors.split(level_sizes)):
        numbers = pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh
        proposals.append(propose(*level, [len(level[0])], size, *numbers))
        scores.append(torch.zeros(len(proposals[-1])))
    return torch.cat(proposals)


def wrong_worst_first(*args):
    return propose(*args).flip(0)


def wrong_scores_too(*args):
    proposals = propose(*args)
    return proposals, proposals[:, 0]


def wrong_fails_without_boxes(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    proposals = propose(
        logits, deltas, anchors, level_sizes, size, pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh
    )
    if not len(proposals):
        raise IndexError("max(): Expected reduction dim to be specified for input.numel() == 0")
    return proposals


def wrong_limits_on_the_cpu(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    limit = torch.tensor([*size[::-1], *size[::-1]], dtype=anchors.dtype)
    decode_boxes(deltas, anchors).minimum(limit)
    return propose(logits, deltas, anchors, level_sizes, size, pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh)


def wrong_topk_of_too_many(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    for level in logits.split(level_sizes):
        level.topk(pre_nms_top_n)  # a level may have fewer
    return propose(logits, deltas, anchors, level_sizes, size, pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh)


def wrong_gradient_left_on(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    proposals = propose(
        logits, deltas, anchors, level_sizes, size, pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh
    )
    return proposals + 0 * deltas.sum()


def right_with_torchvision(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    start, best, level = 0, [], []
    for number, count in enumerate(level_sizes):
        best.append(logits[start : start + count].topk(min(pre_nms_top_n, count)).indices + start)
        level.append(torch.full_like(best[-1], number))
        start += count
    best, level = torch.cat(best), torch.cat(level)
    boxes = clip_boxes_to_image(decode_boxes(deltas[best], anchors[best]), size).detach()
    scores = logits[best].sigmoid().detach()
    keep = remove_small_boxes(boxes, 1e-3)
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    keep = torch.where(scores >= score_thresh)[0]
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    return boxes[batched_nms(boxes, scores, level, nms_thresh)[:post_nms_top_n]]


@torch.no_grad()
def right_decoding_everything_first(
    logits, deltas, anchors, level_sizes, size, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0
):
    boxes = clip_boxes_to_image(decode_boxes(deltas, anchors), size)
    kept, start = [], 0
    for count in level_sizes:
        order = logits[start : start + count].argsort(descending=True)[:pre_nms_top_n] + start
        sides = boxes[order, 2:] - boxes[order, :2]
        order = order[(sides >= 1e-3).all(1) & (logits[order].sigmoid() >= score_thresh)]
        kept.append(order[nms(boxes[order], logits[order], nms_thresh)])
        start += count
    kept = torch.cat(kept)
    return boxes[kept[logits[kept].argsort(descending=True)][:post_nms_top_n]]


EXERCISE = Exercise(
    "propose",
    lesson=5,
    minutes=25,
    reference=propose,
    cases=cases,
    call=call,
    hints=(
        "“A large object drops a small one.” Suppression happens on each level separately, and so does the choice of the best "
        "`pre_nms_top_n`. Split all three tensors by level_sizes first; only at the very end is there one list again.",
        "“The right boxes, but too many or too few.” The order of the steps: best by logit, decode, clip to the image, drop "
        "boxes with hardly a side left or too little objectness, suppress. Then all levels together: sort by score, take "
        "`post_nms_top_n`. size is (height, width), and x goes with width.",
        "“Nearly there.” for logit, delta, anchor in zip(*(tensor.detach().split(list(level_sizes)) for tensor in …)): best = "
        "logit.topk(min(pre_nms_top_n, len(logit))).indices; boxes = decode_boxes(delta[best], anchor[best]), then clamp; a "
        "mask; kept = nms(boxes, scores, nms_thresh). Collect boxes[kept] and scores[kept], torch.cat both, "
        "argsort(descending=True, stable=True).",
    ),
    wrong=(
        Wrong(
            changed(groups=torch.zeros_like),
            "suppression runs over all levels at once: a box of one level drops one of another",
        ),
        Wrong(
            with_arguments(lambda given: only_best_of_all(given, given["pre_nms_top_n"]) | {"pre_nms_top_n": 10**6}),
            "the best `pre_nms_top_n` of all levels together, where each level has its own",
        ),
        Wrong(changed(clip="never"), "the boxes are not clipped to the image"),
        Wrong(
            with_arguments(lambda given: {"size": given["size"][::-1]}),
            "height and width are swapped where boxes are clipped",
        ),
        Wrong(changed(clip="after"), "the boxes are clipped after the suppression instead of before"),
        Wrong(
            with_arguments(lambda given: only_best_of_all(given, given["post_nms_top_n"])),
            "only `post_nms_top_n` boxes go into the suppression: this limit comes after it",
        ),
        Wrong(with_arguments(lambda given: {"post_nms_top_n": 10**6}), "`post_nms_top_n` is not used"),
        Wrong(with_arguments(lambda given: {"pre_nms_top_n": 10**6}), "`pre_nms_top_n` is not used"),
        Wrong(changed(start_of=lambda start: 0), "positions on a level are used as positions among all anchors"),
        Wrong(changed(sort=False), "level after level, instead of the best of all levels first"),
        Wrong(changed(score=lambda logits: logits), "`score_thresh` is compared with logits: it is a probability"),
        Wrong(changed(min_side=-1.0), "boxes of which nothing is left after clipping stay"),
        Wrong(with_arguments(lambda given: {"nms_thresh": 0.7}), "the threshold is always 0.7"),
        Wrong(
            with_arguments(lambda given: {"deltas": torch.zeros_like(given["deltas"])}),
            "the anchors come out unchanged: the deltas are not used",
        ),
        Wrong(with_arguments(lambda given: {"nms_thresh": 1.0}), "nothing is suppressed"),
        Wrong(wrong_gradient_left_on, "a gradient flows through the proposals: detach is missing"),
        Wrong(changed(reaches=operator.gt), "an objectness of exactly score_thresh is dropped: > instead of >="),
        Wrong(
            changed(top_of=torch.sigmoid),
            "the best are chosen by the sigmoid: large logits all have 1, and the best are lost",
        ),
        Wrong(changed(min_side=0.01), "boxes of 0.002 pixels are dropped: the limit is 1e-3"),
        Wrong(changed(min_side=1e-9), "only boxes without area are dropped: the limit is 1e-3"),
        Wrong(wrong_best_of_each_level_at_the_end, "each level has its own `post_nms_top_n`: it is for all together"),
        Wrong(wrong_topk_of_too_many, "topk fails if a level has fewer than `pre_nms_top_n` anchors"),
        Wrong(wrong_fails_without_boxes, "it fails if no box is left"),
        Wrong(
            with_arguments(lambda given: {"score_thresh": 0.0}), "`score_thresh` is not used: every objectness will do"
        ),
        Wrong(
            changed(top_of=lambda logits: -logits), "the worst `pre_nms_top_n` of each level are taken, not the best"
        ),
        Wrong(wrong_worst_first, "the worst proposals come first"),
        Wrong(wrong_scores_too, "it returns scores, too: only the boxes are asked for"),
        Wrong(
            with_arguments(lambda given: {"size": (given["size"][0] - 1, given["size"][1] - 1)}),
            "boxes are clipped to the last pixel, not to the edge of the image",
        ),
        Wrong(wrong_all_levels_in_one),
        Wrong(wrong_level_after_level),
        Wrong(wrong_limits_on_the_cpu),
    ),
    right=(right_with_torchvision, right_decoding_everything_first),
)
