"""A doctor for a score of zero: find which of the usual causes explains why good boxes score badly.

Each cause that can be undone is undone as a trial, and named if that makes many more ground-truth boxes match. The
causes are those of people's reports: torchvision issues 2619 and 3150, mmdetection 2052, detectron2 428, cocoapi 546.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.causes_and_repairs import Case, Repair, box_repairs, class_repairs, repairs
from coursekit.evaluation.columns import BROKEN, columns_of
from coursekit.evaluation.results import Result, first_fault
from coursekit.evaluation.table import Boxes, Ints, locate, read_ground_truth
from coursekit.evaluation.try_repair import Finding, matched, try_repair

CAUSES = (
    "changed_input",
    "category_ids",
    "image_ids",
    "xyxy_as_xywh",
    "swapped_xy",
    "converted_twice",
    "normalized",
    "resized_pixels",
    "subset",
    "same_scores",
    "no_ground_truth",
    "no_detections",
)

MAX_CAUSES = 3

# When only a part of the images was run. The first is below 1 because some images are harder than others, however many
# there are; the second keeps luck from being a finding. Of plantings in 5 to 30 % of the images, 98 in 100 are beyond
# both; weak detectors of one class only stay above 0.7.
SUBSET_SHARE, SUBSET_SPREADS = 0.6, 2.75


Step = tuple[Finding, Repair]  # a cause, and the detections without it


def diagnose(
    results: list[Result],
    dataset: CocoDataset,
    *,
    before: list[Result] | None = None,
    classes: Sequence[str] = (),
) -> list[Finding]:
    """Find which of the usual causes explain a score that is 0, -1 or strangely low, most likely first.

    Often there are none. Each cause is looked for in the detections as they are without the causes named before it.

    The causes, by their stable names:
        changed_input: the evaluator changed the results in place. Reported only if `before` is given.
        category_ids: labels are in place of category ids, or ids are shifted by one.
        image_ids: positions are in place of image ids, ids are shifted by one, or most are unknown.
        xyxy_as_xywh, swapped_xy, converted_twice, normalized: the box is not (left, top, width, height) in pixels.
        resized_pixels: the boxes are in pixels of the resized image.
        subset: detections of a part of the images were scored against the ground truth of all.
        same_scores: all scores are equal, and some detections are false positives.
        no_ground_truth: COCO's -1. Reported if the images have no boxes at all, if at least nine of ten detections are
            of classes without ground truth, and for `classes`. A class without ground truth is no fault by itself.
        no_detections: the list of results is empty.

    Args:
        results: detections in COCO's format, as they were scored. They are not changed.
        dataset: has the ground truth.
        before: a deep copy of the results from before they were scored.
        classes: names of classes whose score is in question, such as one of -1.

    Raises:
        DataError: a result lacks a field, or has one that is no number.
        ConfigError: a class is not in the data set.
    """
    asked = [dataset.category_ids.index(id_) + 1 for id_ in dataset.index.ids_of(classes)]
    case = Case(dataset, _countable(read_ground_truth(dataset)), _read(results, dataset, "results"))
    earlier = None if before is None else _read(before, dataset, "before")
    if not len(case.gt) or not (len(case.detections) or earlier):
        return _no_detections(case) + _no_ground_truth(case, asked)
    findings, case = _explained(case, earlier)
    findings += _unknown_images(case) or _subset(case)
    findings += _unknown_classes(case) + _same_scores(case)
    return findings + _no_ground_truth(case, asked)


def _countable(gt: Boxes) -> Boxes:
    """Drop crowds and empty boxes, and sort by image and class."""
    gt = gt.take(~gt.is_crowd & (gt.boxes[:, 2:] > 0).all(axis=1))
    return gt.take(np.lexsort((gt.labels, gt.images)))


def _read(results: list[Result], dataset: CocoDataset, name: str) -> Boxes:
    """Return detections whatever their ids and boxes.

    Raises:
        DataError: a result lacks a field, or has one that is no finite number; it names the first such result.
    """
    try:
        columns = columns_of(results)
    except BROKEN:
        raise DataError(first_fault(results, name)) from None
    if not (np.isfinite(columns.boxes).all() and np.isfinite(columns.scores).all()):
        raise DataError(first_fault(results, name))
    return locate(columns, dataset)


def _explained(case: Case, earlier: Boxes | None) -> tuple[list[Finding], Case]:
    """Undo the worst cause, look again at what is left, and so on. Returns the findings and the repaired case."""
    changed = [] if earlier is None else _changed(case.detections, earlier)
    findings: list[Finding] = []
    for _ in range(MAX_CAUSES):
        named = {finding.cause for finding in findings}
        candidates = [*changed, *(repairs(case) if len(case.detections) else [])]
        steps = _best([repair for repair in candidates if repair.cause not in named], case)
        if not steps and not findings and len(case.detections):
            steps = _two_at_once(case)
        if not steps:
            break
        findings += [finding for finding, _ in steps]
        case = case.with_detections(steps[-1][1].detections)
    if changed and "changed_input" not in {finding.cause for finding in findings}:  # a fact, though harmless
        findings += [Finding(repair.cause, f"{repair.symptom}.", repair.cure) for repair in changed]
    return findings, case


def _best(candidates: Iterable[Repair], case: Case) -> list[Step]:
    """Return the most convincing repair, if any is."""
    steps = [(finding, repair) for repair in candidates if (finding := try_repair(repair, case))]
    return [max(steps, key=_weight)] if steps else []


def _weight(step: Step) -> float:
    """Return the gain; a changed input weighs 1.5 times as much, because it was observed, not inferred."""
    return step[0].gain * (1.5 if step[0].cause == "changed_input" else 1)


def _two_at_once(case: Case) -> list[Step]:
    """Find wrong boxes with wrong classes: neither shows alone, so the boxes are compared whatever their class."""
    blind = case.as_one_class()
    for _, repair in _best(box_repairs(blind), blind):
        boxes = replace(repair, detections=replace(repair.detections, labels=case.detections.labels))
        for finding, both in _best(class_repairs(case.with_detections(boxes.detections)), case):
            evidence = f"{repair.symptom}, and the category ids are wrong, too: see there for the effect of both."
            return [(Finding(repair.cause, evidence, repair.cure, finding.gain), boxes), (finding, both)]
    return []


def _changed(detections: Boxes, earlier: Boxes) -> list[Repair]:
    """Return the input before, if it differs from the input after; rounding is no change."""
    if len(detections) == len(earlier):
        moved = (np.abs(detections.boxes - earlier.boxes) > 0.01 + 1e-3 * np.abs(earlier.boxes)).any(axis=1)
        renamed = (detections.image_ids != earlier.image_ids) | (detections.category_ids != earlier.category_ids)
        rescored = np.abs(detections.scores - earlier.scores) > 1e-3
        count = int((moved | renamed | rescored).sum())
        what = f"{count:,} of {len(detections):,} detections are different from before"
    else:
        count = abs(len(detections) - len(earlier))
        what = f"it got {len(earlier):,} detections and left {len(detections):,}"
    cure = "Give the evaluator a deep copy, and let it convert boxes in a copy of its own."
    return [Repair("changed_input", f"The evaluator changed its input: {what}", cure, earlier)] if count else []


def _unknown_images(case: Case) -> list[Finding]:
    """Report that most detections are of unknown images, and most images with ground truth have none.

    Both, because the results of a whole set, scored on some of its images, also have unknown images and are sound.
    """
    detections, gt = case.detections, case.gt
    unknown = detections.images < 0
    seen = np.isin(gt.images, detections.images).mean()
    if not len(detections) or unknown.mean() < 0.5 or seen > 0.5:
        return []
    evidence = (
        f"{unknown.sum():,} of {len(detections):,} detections have an image id that the data set doesn't have: "
        f"{detections.image_ids[unknown][0]}, for example, where it has ids like {case.dataset.image_ids[0]}."
    )
    return [Finding("image_ids", evidence, "Give each detection COCO's id of its image: `target['image_id']`.")]


def _unknown_classes(case: Case) -> list[Finding]:
    detections, known = case.detections, case.dataset.category_ids
    unknown = detections.labels < 1
    if not len(detections) or unknown.mean() < 0.9:
        return []
    evidence = (
        f"{unknown.sum():,} of {len(detections):,} detections have a category id that the data set doesn't have: "
        f"{detections.category_ids[unknown][0]}, for example, where it has ids like {known[:5]}."
    )
    return [Finding("category_ids", evidence, "Map labels back with `dataset.category_ids[label - 1]`.")]


def _subset(case: Case) -> list[Finding]:
    """Report that detections of a part of the images are scored against the ground truth of all.

    A weak detector leaves images empty, too, but by chance. If detections as rare as its own, class by class, were
    spread over all images alike, a certain number of images would get some. If far fewer do, the others were never run.
    """
    seen, expected, spread = _images_seen(case)
    if not 0 < seen < SUBSET_SHARE * expected or seen > expected - SUBSET_SPREADS * spread:
        return []
    gt_images = case.gt.images
    hits, inside = matched(case), np.isin(gt_images, case.detections.images)
    evidence = (
        f"Detections come from {seen:,} of the {len(np.unique(gt_images)):,} images with ground truth; by chance, "
        f"{expected:,.0f} images would have some. In these images {hits[inside].mean():.0%} of the ground-truth boxes "
        f"match, in all images {hits.mean():.0%}."
    )
    cure = "Score only the images that you have run: `score(results, dataset.head(n))`, or a data set with their rows."
    return [Finding("subset", evidence, cure, float(hits[inside].mean() - hits.mean()))]


def _images_seen(case: Case) -> tuple[int, float, float]:
    """Return how many images with ground truth have detections, and how many would by chance: mean and deviation."""
    gt, detections, images = case.gt, case.detections, len(case.dataset)
    labels = len(case.dataset.category_ids) + 1
    has_gt = np.bincount(gt.images, minlength=images) > 0
    known = detections.labels[(detections.labels > 0) & (detections.images >= 0)]
    rate = np.bincount(known, minlength=labels) / np.maximum(1, np.bincount(gt.labels, minlength=labels))
    chance = 1 - np.exp(-np.bincount(gt.images, rate[gt.labels], minlength=images)[has_gt])
    seen = len(np.intersect1d(gt.images, detections.images))
    return seen, float(chance.sum()), float(np.sqrt((chance * (1 - chance)).sum()))


def _same_scores(case: Case) -> list[Finding]:
    """Report that all detections have the same score: harmless if all are right, else they can't be ranked."""
    count = len(case.detections)
    if count < 10:
        return []
    values, counts = np.unique(case.detections.scores, return_counts=True)
    right = int(matched(case).sum())
    if counts.max() < 0.99 * count or right > 0.9 * count:
        return []
    evidence = (
        f"{counts.max():,} of {count:,} detections have the score {values[counts.argmax()]:g}, but at most {right:,} "
        "are true positives. AP needs those to come first."
    )
    return [Finding("same_scores", evidence, "Pass on the model's own scores, not a constant, and don't round them.")]


def _no_ground_truth(case: Case, asked: list[int]) -> list[Finding]:
    """Report what COCO gives -1 for: see `diagnose` for when."""
    images, names = len(case.dataset), case.dataset.classes
    gt, detections = read_ground_truth(case.dataset), case.detections
    empty = np.setdiff1d(np.arange(1, len(names) + 1), gt.labels[~gt.is_crowd])
    if len(empty) == len(names):
        evidence = f"None of the {images:,} images has a ground-truth box (crowds don't count), so all numbers are -1."
        return [Finding("no_ground_truth", evidence, "Use images that have annotations.")]
    known = detections.labels[(detections.labels > 0) & (detections.images >= 0)]
    reported = {label for label in asked if label in empty}
    if len(known) and np.isin(known, empty).mean() >= 0.9:
        reported |= set(np.intersect1d(known, empty).tolist())
    return [_without_ground_truth(sorted(reported), names, known, images)] if reported else []


def _without_ground_truth(labels: list[int], names: list[str], known: Ints, images: int) -> Finding:
    shown = ", ".join(names[label - 1] for label in labels[:10])
    shown += f" and {len(labels) - 10} more" if len(labels) > 10 else ""
    count = int(np.isin(known, labels).sum())
    evidence = (
        f"These {images:,} images have no ground-truth box of {shown}, so AP is -1 there; "
        f"{count:,} {'detection is' if count == 1 else 'detections are'} of these classes."
    )
    cure = "Leave -1 out of any mean, or score on images that show these classes."
    return Finding("no_ground_truth", evidence, cure)


def _no_detections(case: Case) -> list[Finding]:
    if len(case.detections) or not len(case.gt):
        return []
    evidence = f"There are 0 detections for {len(case.gt):,} ground-truth boxes."
    cure = "Lower the score threshold, and look at what the model returns for one image."
    return [Finding("no_detections", evidence, cure)]
