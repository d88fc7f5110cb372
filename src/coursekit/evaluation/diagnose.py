"""A doctor for a score of zero: which of the usual causes explains why good boxes score badly.

Every cause that can be undone is undone, as a trial, and one is named where undoing it makes many more of the true
boxes match. The causes are those of people's reports: torchvision issues 2619 and 3150, mmdetection 2052, detectron2
428, cocoapi 546.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.causes import (
    Found,
    Mask,
    Mend,
    Truth,
    box_mends,
    class_mends,
    mends,
    paired_iou,
    pairs_of,
    read_found,
    read_truth,
    sample,
)
from coursekit.evaluation.coco import Result

CAUSES = (
    "changed_input",
    "category_ids",
    "image_ids",
    "xyxy_as_xywh",
    "swapped_xy",
    "converted_twice",
    "normalised",
    "resized_pixels",
    "subset",
    "same_scores",
    "no_truth",
    "no_detections",
)

MATCH_IOU = 0.5

# When a mend counts as convincing. A wrong one loses nearly all matches there were and wins few by chance, so the two
# are compared, and what chance gives is measured: the same boxes against the truth of another image.
LEAST_WON = 5  # true boxes: fewer can be luck
WON_PER_LOST = 4
LEAST_GROWTH = 1.2  # times as many matches as before: less does not make a score strange
LEAST_SHARE = 0.05  # of the true boxes in images with detections: below, the mended score would still be near zero
TIMES_CHANCE = 3
SHARE_OF_RIGHT_PLACES = 0.4  # of the boxes that lie well, a right map of classes gets at least so many right

MOST_CAUSES = 3


@dataclass(frozen=True)
class Finding:
    """One cause that fits.

    Attributes:
        cause: one of CAUSES.
        evidence: a sentence with the numbers that speak for it.
        cure: a sentence on what to do.
        gain: by how much the share of true boxes that are matched grows once it is mended, and what is named before it;
            0 where that can't be tried.
    """

    cause: str
    evidence: str
    cure: str
    gain: float = 0.0

    def __str__(self) -> str:
        return f"{self.cause}: {self.evidence} {self.cure}"


Step = tuple[Finding, Mend]  # what was found, and the results without it


def diagnose(
    results: list[Result],
    dataset: CocoDataset,
    *,
    before: list[Result] | None = None,
    classes: Sequence[str] = (),
) -> list[Finding]:
    """Which of the usual causes explain a score that is 0, -1 or strangely low, the likeliest first; often none.

    Each is looked for in the results as they are once those named before it are mended.

    The causes, each by its stable name:
        changed_input: the evaluator has changed the results in place. Told only where `before` is given.
        category_ids: labels stand where category ids belong, or ids are shifted by one.
        image_ids: positions stand where image ids belong, ids are shifted by one, or most are unknown.
        xyxy_as_xywh, swapped_xy, converted_twice, normalised: the box is not (left, top, width, height) in pixels.
        resized_pixels: the boxes are in pixels of the resized image.
        subset: detections of a part of the images were scored against the truth of all.
        same_scores: all scores are alike, and some detections are wrong.
        no_truth: COCO's -1. Told where nothing at all is there to find, where at least nine of ten detections are of
            classes with nothing to find, and for classes asked about. A class without truth is no fault by itself.
        no_detections: the list of results is empty.

    Args:
        results: detections in COCO's format, as they were scored. They are not changed.
        dataset: whose records are the truth.
        before: a deep copy of the results from before they were scored.
        classes: names of classes whose score is in question, such as one of -1.

    Raises:
        DataError: a result lacks a field, or has one that is no number.
        ConfigError: a class is not in the data set.
    """
    truth = read_truth(dataset)
    asked = [dataset.category_ids.index(id_) for id_ in dataset.index.ids_of(classes)]
    found = read_found(results, truth, "results")
    earlier = None if before is None else read_found(before, truth, "before")
    if not len(truth) or (not len(found) and not earlier):
        return _no_detections(found, truth) + _no_truth(found, truth, dataset.classes, asked)
    told, found = _explained(found, earlier, truth)
    told += _unknown_images(found, truth) or _subset(found, truth)
    told += _unknown_classes(found, truth) + _same_scores(found, truth)
    return told + _no_truth(found, truth, dataset.classes, asked)


def matched(found: Found, truth: Truth) -> Mask:
    """(T,) whether a true box has a detection of its class that overlaps it by at least 0.5."""
    ours, theirs = pairs_of(found, truth)
    hit = np.zeros(len(truth), bool)
    hit[theirs[paired_iou(found.boxes[ours], truth.boxes[theirs]) >= MATCH_IOU]] = True
    return hit


def _explained(found: Found, earlier: Found | None, truth: Truth) -> tuple[list[Finding], Found]:
    """Mend the worst, look again at what is then left, and so on. Returns what was found, and the mended results."""
    changed = [] if earlier is None else _changed(found, earlier)
    told: list[Finding] = []
    for _ in range(MOST_CAUSES):
        named = {finding.cause for finding in told}
        candidates = [*changed, *(mends(found, truth) if len(found) else [])]
        steps = _best([mend for mend in candidates if mend.cause not in named], found, truth)
        if not steps and not told and len(found):
            steps = _two(found, truth)
        if not steps:
            break
        told += [finding for finding, _ in steps]
        found = steps[-1][1].found
    if changed and "changed_input" not in {finding.cause for finding in told}:  # a fact, if without harm
        told += [Finding(mend.cause, f"{mend.sign}.", mend.cure) for mend in changed]
    return told, found


def _best(candidates: Iterable[Mend], given: Found, truth: Truth) -> list[Step]:
    """The mend that convinces most, if any does."""
    steps = [(finding, mend) for mend in candidates if (finding := _tried(mend, given, truth))]
    return [max(steps, key=_weight)] if steps else []


def _weight(step: Step) -> float:
    """The gain; a change of the input counts half as much again, because it was seen and not inferred."""
    return step[0].gain * (1.5 if step[0].cause == "changed_input" else 1)


def _two(found: Found, truth: Truth) -> list[Step]:
    """Wrong boxes with wrong classes: neither shows alone, so the boxes are looked at whatever their class."""
    blind, any_class = _one_class(found, truth)
    for _, mend in _best(box_mends(blind, any_class), blind, any_class):
        boxes = replace(mend, found=replace(mend.found, classes=found.classes))
        for finding, both in _best(class_mends(boxes.found, truth), found, truth):
            evidence = f"{mend.sign}, and the classes are wrong, too; see there for what mending both brings."
            return [(Finding(mend.cause, evidence, mend.cure, finding.gain), boxes), (finding, both)]
    return []


def _tried(mend: Mend, given: Found, truth: Truth) -> Finding | None:
    """A finding, if the mended results match much better than the given ones."""
    mended, part = sample(mend.found, truth)
    now, then = matched(given, part), matched(mended, part)
    if not _much_better(now, then) or then.sum() < TIMES_CHANCE * matched(_misplaced(mended), part).sum():
        return None
    if mend.cause == "category_ids" and then.sum() < SHARE_OF_RIGHT_PLACES * _in_place(mended, part):
        return None
    trial = f"undone, {then.sum():,} of {len(part):,} true boxes are matched instead of {now.sum():,}"
    return Finding(mend.cause, f"{mend.sign}; {trial}.", mend.cure, float(then.mean() - now.mean()))


def _much_better(now: Mask, then: Mask) -> bool:
    won, lost = int((then & ~now).sum()), int((now & ~then).sum())
    clear = won >= LEAST_WON and won >= WON_PER_LOST * lost
    return clear and bool(then.sum() >= LEAST_GROWTH * now.sum() and then.mean() >= LEAST_SHARE)


def _misplaced(found: Found) -> Found:
    """Every detection in the next image that has any: what it matches there, it matches by chance."""
    images, places = np.unique(found.images, return_inverse=True)
    # of a single image nothing can be said about chance
    others = np.roll(images, -1) if len(images) > 1 else np.full(len(images), -1)
    return replace(found, images=others[places])


def _in_place(found: Found, truth: Truth) -> int:
    """How many true boxes are overlapped well by a detection of any class."""
    return int(matched(*_one_class(found, truth)).sum())


def _one_class(found: Found, truth: Truth) -> tuple[Found, Truth]:
    return replace(found, classes=np.zeros_like(found.classes)), replace(truth, classes=np.zeros_like(truth.classes))


def _changed(found: Found, earlier: Found) -> list[Mend]:
    """The input before, where it differs from the input after; rounding is no change."""
    if len(found) == len(earlier):
        moved = (np.abs(found.boxes - earlier.boxes) > 0.01 + 1e-3 * np.abs(earlier.boxes)).any(axis=1)
        renamed = (found.image_ids != earlier.image_ids) | (found.category_ids != earlier.category_ids)
        rescored = np.abs(found.scores - earlier.scores) > 1e-3
        count = int((moved | renamed | rescored).sum())
        what = f"{count:,} of {len(found):,} detections are not what they were before"
    else:
        count = abs(len(found) - len(earlier))
        what = f"{len(earlier):,} detections went in and {len(found):,} are left"
    cure = "Give the evaluator a deep copy, and let it convert boxes in a copy of its own."
    return [Mend("changed_input", f"The evaluator has changed its input: {what}", cure, earlier)] if count else []


def _unknown_images(found: Found, truth: Truth) -> list[Finding]:
    """Most detections are of images that are not in the truth, and most of the truth's images have none.

    Both, because a whole set's results scored on a part of its images leave many over and are sound.
    """
    unknown = found.images < 0
    seen = np.isin(truth.images, found.images).mean()
    if not len(found) or unknown.mean() < 0.5 or seen > 0.5:
        return []
    example = f"such as {found.image_ids[unknown][0]}, where the truth has ids like {truth.image_ids[0]}"
    evidence = f"{unknown.sum():,} of {len(found):,} detections have an image id the truth doesn't know, {example}."
    return [Finding("image_ids", evidence, "Give each detection COCO's id of its image: `target['image_id']`.")]


def _unknown_classes(found: Found, truth: Truth) -> list[Finding]:
    unknown = found.classes < 0
    if not len(found) or unknown.mean() < 0.9:
        return []
    example = f"such as {found.category_ids[unknown][0]}, where it has {truth.category_ids[:5].tolist()} and so on"
    evidence = f"{unknown.sum():,} of {len(found):,} detections have a category id the truth doesn't know, {example}."
    return [Finding("category_ids", evidence, "Map labels back with `dataset.category_ids[label - 1]`.")]


def _subset(found: Found, truth: Truth) -> list[Finding]:
    """Detections of a part of the images, against the truth of all.

    A weak detector leaves images empty, too, but by chance: with detections as rare as its own, class by class, spread
    over all images alike, about so many would get some. Where far fewer do, the others were never shown to it.
    """
    count, classes = len(truth.image_ids), len(truth.category_ids)
    has_truth, has_found = np.zeros(count, bool), np.zeros(count, bool)
    has_truth[truth.images] = True
    has_found[found.images[found.images >= 0]] = True
    made = np.bincount(found.classes[(found.classes >= 0) & (found.images >= 0)], minlength=classes)
    rate = made / np.maximum(1, np.bincount(truth.classes, minlength=classes))
    chance = 1 - np.exp(-np.bincount(truth.images, rate[truth.classes], minlength=count)[has_truth])
    seen, expected, spread = (has_truth & has_found).sum(), chance.sum(), np.sqrt((chance * (1 - chance)).sum())
    # 0.6 because some images are harder than others, whatever their number; 2.75 spreads so that luck is no finding.
    # Of plantings in 5 to 30 % of the images 98 in 100 lie beyond both; weak detectors of one class only, above 0.7.
    if not 0 < seen < 0.6 * expected or seen > expected - 2.75 * spread:
        return []
    hits, inside = matched(found, truth), has_found[truth.images]
    evidence = (
        f"Detections come from {seen:,} of {has_truth.sum():,} images with truth, where chance would have given "
        f"{expected:,.0f} images some; on these alone {hits[inside].mean():.0%} of the true boxes are matched, "
        f"on all {hits.mean():.0%}."
    )
    cure = "Score against the images you have run on: `score(results, dataset.head(n))`, or a data set with their rows."
    return [Finding("subset", evidence, cure, float(hits[inside].mean() - hits.mean()))]


def _same_scores(found: Found, truth: Truth) -> list[Finding]:
    """One score for all: no harm if all are right, else right and wrong can't be told apart."""
    if len(found) < 10:
        return []
    values, counts = np.unique(found.scores, return_counts=True)
    right = int(matched(found, truth).sum())
    if counts.max() < 0.99 * len(found) or right > 0.9 * len(found):
        return []
    evidence = (
        f"{counts.max():,} of {len(found):,} detections have the score {values[counts.argmax()]:g}, while no more than "
        f"{right:,} are right; AP needs the right ones to come first."
    )
    return [Finding("same_scores", evidence, "Pass on the model's own scores, not a constant, and don't round them.")]


def _no_truth(found: Found, truth: Truth, names: list[str], asked: list[int]) -> list[Finding]:
    """What COCO gives -1 for: see `diagnose` for when that is told."""
    if not truth.per_class.any():
        evidence = f"None of the {len(truth.image_ids):,} images has a box to find (crowds don't count), so all is -1."
        return [Finding("no_truth", evidence, "Take a data set, or images of it, with annotations.")]
    known = found.classes[(found.classes >= 0) & (found.images >= 0)]
    empty = np.flatnonzero(truth.per_class == 0)
    told = [place for place in asked if place in empty]
    if len(known) and np.isin(known, empty).mean() >= 0.9:
        told = sorted({*told, *np.intersect1d(known, empty).tolist()})
    if not told:
        return []
    shown = ", ".join(names[place] for place in told[:10]) + (f" and {len(told) - 10} more" if len(told) > 10 else "")
    mine = int(np.isin(known, told).sum())
    evidence = f"Of {shown} there is no box to find in these {len(truth.image_ids):,} images, so AP is -1 there"
    cure = "Leave -1 out of any mean, or score on images that show these classes."
    return [Finding("no_truth", f"{evidence}; {mine:,} detections are of them.", cure)]


def _no_detections(found: Found, truth: Truth) -> list[Finding]:
    if len(found) or not len(truth):
        return []
    evidence = f"There are 0 detections for {len(truth):,} true boxes."
    return [
        Finding("no_detections", evidence, "Lower the least score, and look at what the model gives for one image.")
    ]
