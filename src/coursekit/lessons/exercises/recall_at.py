"""Exercise 5.5, `recall_at`: the share of the objects that the best k proposals find."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.detector import box_iou
from coursekit.evaluation.proposal_recall import recall_at
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

HERE, THERE, FAR = (0, 0, 10, 10), (30, 0, 40, 10), (60, 0, 70, 10)
NONE = torch.empty(0, 4)


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("an object with a proposal exactly on it", [xyxy(HERE)], [xyxy(HERE)], 1)
    yield case("two objects, one of them found", [xyxy(THERE, FAR)], [xyxy(HERE, THERE)], 2)
    yield case("an IoU of exactly 0.5", [xyxy((0, 0, 10, 5))], [xyxy(HERE)], 1)
    yield case("an IoU of 0.6", [xyxy((0, 0, 10, 6))], [xyxy(HERE)], 1)
    yield case("k is 2, and the third proposal is the one on the object", [xyxy(FAR, THERE, HERE)], [xyxy(HERE)], 2)
    yield case("two proposals on one object, none on the other", [xyxy(HERE, HERE)], [xyxy(HERE, FAR)], 2)
    pair = xyxy((0, 0, 10, 10), (0, 0, 10, 9))
    yield case("one proposal that overlaps two objects well", [xyxy(HERE)], [pair], 5)
    two = [xyxy(HERE), xyxy(HERE)], [xyxy(HERE), xyxy(FAR, THERE, (90, 0, 99, 9))]
    yield case("two images, one with a single object and one with three", *two, 1)
    yield case("two images, and k is 1: the best proposal of each counts", [xyxy(HERE)] * 2, [xyxy(HERE)] * 2, 1)
    yield case("an image without objects", [xyxy(HERE)] * 2, [xyxy(HERE, FAR), NONE], 3)
    yield case("an image without proposals", [NONE, xyxy(HERE)], [xyxy(HERE), xyxy(HERE)], 3)
    yield case("no proposals at all", [NONE], [xyxy(HERE)], 3)
    yield case("no objects at all", [xyxy(HERE), NONE], [NONE, NONE], 3)
    yield case("k is 0", [xyxy(HERE)], [xyxy(HERE)], 0)
    many = [case_inputs.boxes(generator, count, width=60) for count in (9, 1, 4, 12)]
    near = [boxes + 3 * torch.randn(boxes.shape, generator=generator) for boxes in many]
    yield case("four images with 26 objects, 5 proposals each", near, many, 5)
    yield case("the same in float64", [boxes.double() for boxes in near], [boxes.double() for boxes in many], 5)
    yield on_a_gpu([near[0]], [many[0]], 5, what="proposals and boxes")


# Wrong answers. Written as an intern would.


def best_iou(gt_boxes: Tensor, proposals: Tensor) -> Tensor:
    """Return the highest IoU of each object with a proposal, 0 if there is none: (G,)."""
    return box_iou(gt_boxes, proposals).amax(1) if len(proposals) else gt_boxes.new_zeros(len(gt_boxes))


def share(is_found: list[Tensor]) -> float:
    return torch.cat(is_found).float().mean().item()


def wrong_mean_of_images(proposals, boxes, k):
    shares = [recall_at([candidates], [gt], k) for candidates, gt in zip(proposals, boxes, strict=True) if len(gt)]
    return sum(shares) / len(shares) if shares else float("nan")


def wrong_above_the_threshold(proposals, boxes, k):
    return share([best_iou(gt, candidates[:k]) > 0.5 for candidates, gt in zip(proposals, boxes, strict=True)])


def wrong_all_proposals(proposals, boxes, k):
    return recall_at(proposals, boxes, 10**6)


def wrong_precision(proposals, boxes, k):
    return recall_at(boxes, [candidates[:k] for candidates in proposals], 10**6)


def wrong_counts_proposals(proposals, boxes, k):
    hits = sum(
        int((best_iou(candidates[:k], gt) >= 0.5).sum()) for candidates, gt in zip(proposals, boxes, strict=True)
    )
    count = sum(map(len, boxes))
    return hits / count if count else float("nan")


def wrong_counts_pairs(proposals, boxes, k):
    hits = sum(int((box_iou(gt, candidates[:k]) >= 0.5).sum()) for candidates, gt in zip(proposals, boxes, strict=True))
    count = sum(map(len, boxes))
    return hits / count if count else float("nan")


def wrong_each_proposal_once(proposals, boxes, k):
    found, count = 0, sum(map(len, boxes))
    for candidates, gt in zip(proposals, boxes, strict=True):
        is_free = torch.ones(len(gt), dtype=torch.bool)
        for iou in box_iou(candidates[:k], gt):
            fits = torch.where((iou >= 0.5) & is_free)[0]
            is_free[fits[:1]] = False
        found += int((~is_free).sum())
    return found / count if count else float("nan")


def wrong_k_of_all_images(proposals, boxes, k):
    left, is_found = k, []
    for candidates, gt in zip(proposals, boxes, strict=True):
        is_found.append(best_iou(gt, candidates[:left]) >= 0.5)
        left = max(0, left - len(candidates))
    return share(is_found)


def wrong_skips_images_without_proposals(proposals, boxes, k):
    used = [(candidates, gt) for candidates, gt in zip(proposals, boxes, strict=True) if len(candidates)]
    return recall_at([candidates for candidates, _ in used], [gt for _, gt in used], k) if used else 0.0


def wrong_fails_without_proposals(proposals, boxes, k):
    return share([box_iou(gt, candidates[:k]).amax(1) >= 0.5 for candidates, gt in zip(proposals, boxes, strict=True)])


def wrong_last_k(proposals, boxes, k):
    return recall_at([candidates.flip(0) for candidates in proposals], boxes, k)


def wrong_zero_without_objects(proposals, boxes, k):
    found = sum(
        int((best_iou(gt, candidates[:k]) >= 0.5).sum()) for candidates, gt in zip(proposals, boxes, strict=True)
    )
    return found / max(1, sum(map(len, boxes)))


def wrong_share_of_images(proposals, boxes, k):
    is_found = [
        bool((best_iou(gt, candidates[:k]) >= 0.5).any()) for candidates, gt in zip(proposals, boxes, strict=True)
    ]
    return sum(is_found) / len(is_found)


def wrong_mean_iou(proposals, boxes, k):
    return share([best_iou(gt, candidates[:k]) for candidates, gt in zip(proposals, boxes, strict=True)])


def wrong_fails_without_objects(proposals, boxes, k):
    found = sum(
        int((best_iou(gt, candidates[:k]) >= 0.5).sum()) for candidates, gt in zip(proposals, boxes, strict=True)
    )
    return found / sum(map(len, boxes))


def wrong_images_without_objects_are_perfect(proposals, boxes, k):
    is_found = [best_iou(gt, candidates[:k]) >= 0.5 for candidates, gt in zip(proposals, boxes, strict=True)]
    return share([found if len(found) else found.new_ones(1) for found in is_found])


def wrong_sorts_by_iou(proposals, boxes, k):
    best = [
        candidates[best_iou(candidates, gt).argsort(descending=True)]
        for candidates, gt in zip(proposals, boxes, strict=True)
    ]
    return recall_at(best, boxes, k)


def wrong_on_the_cpu(proposals, boxes, k):
    is_found = [torch.empty(0, dtype=torch.bool)]
    for candidates, gt in zip(proposals, boxes, strict=True):
        is_found.append((box_iou(gt, candidates[:k]) >= 0.5).any(1))
    return share(is_found)


# Other right answers


def right_counting(proposals, boxes, k):
    found, count = 0, 0
    for best, gt_boxes in zip(proposals, boxes, strict=True):
        count += len(gt_boxes)
        if len(gt_boxes) and len(best[:k]):
            found += int((box_iou(gt_boxes, best[:k]).max(dim=1).values >= 0.5).sum())
    return found / count if count else float("nan")


def right_object_by_object(proposals, boxes, k):
    is_found = []
    for best, gt_boxes in zip(proposals, boxes, strict=True):
        for gt_box in gt_boxes:
            is_found.append(any(iou >= 0.5 for iou in box_iou(gt_box[None], best[:k])[0].tolist()))
    return sum(is_found) / len(is_found) if is_found else float("nan")


EXERCISE = Exercise(
    "recall_at",
    lesson=5,
    minutes=10,
    reference=recall_at,
    cases=cases,
    call=anywhere,
    hints=(
        "“My recall is above 1.” You count proposals, and an object may have several of them. Count objects: for each, ask "
        "whether *any* of the best k proposals overlaps it by 0.5 or more.",
        "“Wrong when images have different numbers of objects.” Don't average over images: collect one yes or no for each "
        "object of all images, then take the mean once. box_iou(gt_boxes, best[:k]) has a row for each object.",
        "“Nearly there.” For best, gt_boxes in zip(proposals, boxes): overlaps = box_iou(gt_boxes, best[:k]) >= 0.5, and append "
        "overlaps.any(dim=1), which is False for every object if there is no proposal. After the loop torch.cat, then "
        ".float().mean().item(): without objects that is NaN.",
    ),
    wrong=(
        Wrong(
            wrong_mean_of_images,
            "each image is averaged first, then the images: an object's weight depends on its image",
        ),
        Wrong(wrong_above_the_threshold, "an IoU of exactly 0.5 doesn't count (> instead of >=)"),
        Wrong(wrong_all_proposals, "all proposals count, not only the best k"),
        Wrong(wrong_precision, "the share of the proposals that are on an object: that is precision"),
        Wrong(wrong_counts_proposals, "proposals are counted, not objects: two on one object count twice"),
        Wrong(wrong_counts_pairs, "pairs of an object and a proposal are counted: an object found twice counts twice"),
        Wrong(wrong_each_proposal_once, "a proposal finds one object at most: here it may find several"),
        Wrong(wrong_k_of_all_images, "k proposals of all images together count: k is for each image"),
        Wrong(wrong_skips_images_without_proposals, "images without proposals are skipped: their objects are missed"),
        Wrong(wrong_fails_without_proposals, "it fails if an image has no proposals: there is no maximum of nothing"),
        Wrong(wrong_last_k, "the worst k proposals count: the best come first"),
        Wrong(wrong_zero_without_objects, "0 if there are no objects: nothing was missed, so it is NaN"),
        Wrong(wrong_share_of_images, "the share of the images in which something is found"),
        Wrong(wrong_mean_iou, "the mean of the best IoUs, without a threshold"),
        Wrong(wrong_fails_without_objects, "it fails if there are no objects: NaN is expected"),
        Wrong(wrong_images_without_objects_are_perfect, "an image without objects counts as one that is found"),
        Wrong(
            wrong_sorts_by_iou, "the proposals are sorted by IoU: which are the best may not depend on the ground truth"
        ),
        Wrong(lambda *args: 100 * recall_at(*args), "a percentage: a share from 0 to 1 is asked for"),
        Wrong(wrong_on_the_cpu),
    ),
    right=(right_counting, right_object_by_object),
)
