"""What went wrong: errors by kind and what each costs, which classes are confused, which images to look at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco_engines import build, evaluated
from coursekit.evaluation.match_detections import ON_CROWD, UNMATCHED, Matches, match
from coursekit.evaluation.results import Result
from coursekit.evaluation.table import Bools, Floats, Ints

KINDS = {
    "classification": "on an object, but with the wrong class",
    "localization": "with the right class, but too far off the object",
    "both": "too far off an object of another class",
    "duplicate": "a second box on an object that is already found",
    "background": "on no object",
    "missed": "an object without any box, not even a wrong one",
}
_HOTCOCO = dict(zip(KINDS, ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), strict=True))
_MAX_NAMED = 3


@dataclass(frozen=True)
class Kind:
    """How often a kind of error occurred, and how much AP50 would rise if it alone were fixed."""

    count: int
    cost: float


@dataclass(frozen=True)
class ErrorReport:
    """Errors by kind, named as in KINDS. The costs don't add up to 1 - AP50: fixing one kind uncovers others."""

    ap50: float
    kinds: dict[str, Kind]

    @property
    def costliest(self) -> str:
        """The kind to fix first."""
        return max(self.kinds, key=lambda name: self.kinds[name].cost)

    def __str__(self) -> str:
        lines = [f"{name:<15}{kind.count:>8,}{kind.cost:>9.3f}  {KINDS[name]}" for name, kind in self.kinds.items()]
        return "\n".join([f"AP50 {self.ap50:.3f}", f"{'kind':<15}{'count':>8}{'cost':>9}", *lines])


class Threshold(NamedTuple):
    """A score threshold for a class, and the results it gives at IoU 0.5."""

    score: float
    f1: float
    precision: float
    recall: float


class WorstImage(NamedTuple):
    """An image to look at, and what is wrong in it."""

    image_id: int
    reason: str


def split_errors(results: list[Result], dataset: CocoDataset) -> ErrorReport:
    """Return errors by kind and the AP50 that each kind costs.

    The kinds are those of Bolya et al., *TIDE: A General Toolbox for Identifying Object Detection Errors*, 2020. A
    false positive (IoU under 0.5 with every free object of its class) has one of them:

    - `localization`: IoU from 0.1 to 0.5 with an object of its class;
    - `classification`: IoU of at least 0.5 with an object of another class;
    - `duplicate`: IoU of at least 0.5 with an object of its class that is taken;
    - `background`: IoU under 0.1 with every object;
    - `both`: everything else.

    An object is `missed` if no detection matches it and no `classification` or `localization` error is attributed to
    it. To compute the cost, `classification` and `localization` errors are corrected where their object is free and
    removed otherwise; `duplicate`, `background` and `both` are removed; `missed` objects no longer count. An object
    whose only box is a `both` error counts twice: the box as `both`, the object as `missed`.

    Args:
        results: detections in COCO's format, of all scores: the less confident ones are part of AP, too.
        dataset: has the ground truth.

    Raises:
        DataError: there is no ground truth, or a record is not a detection in these images of one of their classes.
    """
    matches = match(results, dataset, [0.5])
    detections = matches.detections.take(matches.partners[0] != ON_CROWD)
    # without crowds: the engine would take a box near a crowd for a box near an object
    built = build(matches.gt, len(matches.image_ids), dataset.classes)
    tide = evaluated(built, detections).tide_errors(pos_thr=0.5, bg_thr=0.1)
    kinds = {name: Kind(int(tide["counts"][key]), float(tide["delta_ap"][key])) for name, key in _HOTCOCO.items()}
    return ErrorReport(float(tide["ap_base"]), kinds)


def confusion_matrix(
    results: list[Result], dataset: CocoDataset, *, threshold: float = 0.5, iou: float = 0.5
) -> NDArray[np.int64]:
    """Return how often an object of each class (row) was detected as each class (column).

    Detections match objects of their own class first, as for AP; only leftovers match objects of other classes. So a
    rider and a horse that are both detected are no confusion, however much their boxes overlap. Detections on a crowd
    of their class don't count.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        threshold: the lowest score that counts.
        iou: the IoU threshold.

    Returns:
        (K + 1, K + 1): the last row counts detections on no object, the last column missed objects.

    Raises:
        ConfigError: `iou` or `threshold` is not in 0 to 1.
        DataError: there is no ground truth, or a record is not a detection in these images of one of their classes.
    """
    score_thresh = _checked(threshold, "threshold")
    matches = match(results, dataset, [_checked(iou, "iou")], score_thresh=score_thresh, across_classes=True)
    partners, count = matches.partners[0], len(dataset.classes)
    pred_labels, gt_labels = matches.detections.labels - 1, matches.gt.labels - 1
    matrix = np.zeros((count + 1, count + 1), np.int64)
    matched = partners >= 0
    np.add.at(matrix, (gt_labels[partners[matched]], pred_labels[matched]), 1)
    matrix[count, :count] = np.bincount(pred_labels[partners == UNMATCHED], minlength=count)
    matrix[:count, count] = np.bincount(gt_labels[_missed(matches)], minlength=count)
    return matrix


def best_thresholds(results: list[Result], dataset: CocoDataset) -> dict[str, Threshold]:
    """Return, for each class that is in the images, the score threshold with the highest F1 at IoU 0.5.

    F1 is the harmonic mean of precision and recall. The threshold is chosen on these images, so it is a little too good
    for others. A class without any true positive gets a score of 1 and zeros.

    Raises:
        DataError: there is no ground truth, or a record is not a detection in these images of one of their classes.
    """
    matches = match(results, dataset, [0.5])
    detections, partners = matches.detections, matches.partners[0]
    best = {}
    for label, name in enumerate(dataset.classes, 1):
        num_gt = int((matches.gt.labels == label).sum())
        counted = (detections.labels == label) & (partners != ON_CROWD)
        if num_gt:
            best[name] = _best_threshold(detections.scores[counted], partners[counted] >= 0, num_gt)
    return best


def worst_images(
    results: list[Result], dataset: CocoDataset, count: int, *, threshold: float = 0.5
) -> list[WorstImage]:
    """Return the images with the most missed objects and confident false positives, the worst first.

    A missed object counts 1, a false positive its score. Images without errors are left out.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        count: how many images at most.
        threshold: the lowest score that counts as detected.

    Raises:
        ConfigError: `count` is not positive, or `threshold` is not in 0 to 1.
        DataError: there is no ground truth, or a record is not a detection in these images of one of their classes.
    """
    matches = _match_confident(results, dataset, count, threshold)
    missed, false = _missed(matches), np.flatnonzero(matches.partners[0] == UNMATCHED)
    badness = _per_image(matches.gt.images[missed], dataset).astype(np.float64)
    np.add.at(badness, matches.detections.images[false], matches.detections.scores[false])
    worst = [image for image in np.argsort(-badness, kind="stable")[:count].tolist() if badness[image] > 0]
    return [WorstImage(matches.image_ids[image], _reason(matches, image, dataset.classes)) for image in worst]


def best_images(results: list[Result], dataset: CocoDataset, count: int, *, threshold: float = 0.5) -> list[int]:
    """Return the ids of the best images, the best first.

    They have the highest count of true positives minus misses and false positives. Images without a true positive are
    left out. Arguments and errors are those of `worst_images`.
    """
    matches = _match_confident(results, dataset, count, threshold)
    images, partners = matches.detections.images, matches.partners[0]
    true, false = (_per_image(images[chosen], dataset) for chosen in (partners >= 0, partners == UNMATCHED))
    missed = _per_image(matches.gt.images[_missed(matches)], dataset)
    order = np.argsort(missed + false - true, kind="stable")
    return [matches.image_ids[image] for image in order[true[order] > 0][:count].tolist()]


def _match_confident(results: list[Result], dataset: CocoDataset, count: int, threshold: float) -> Matches:
    if count < 1:
        raise ConfigError(f"count={count}: use at least 1.")
    return match(results, dataset, [0.5], score_thresh=_checked(threshold, "threshold"))


def _per_image(images: Ints, dataset: CocoDataset) -> Ints:
    return np.bincount(images, minlength=len(dataset))


def _best_threshold(scores: Floats, is_tp: Bools, num_gt: int) -> Threshold:
    """Choose from the scores (D,) of one class, given which of them are true positives (D,)."""
    order = np.argsort(-scores, kind="stable")
    scores, true = scores[order], is_tp[order].cumsum()
    ends = np.flatnonzero(np.diff(scores, append=-np.inf) < 0)  # a threshold can't separate equal scores
    if not true[-1:].any():
        return Threshold(1.0, 0.0, 0.0, 0.0)
    f1 = 2 * true[ends] / (ends + 1 + num_gt)
    end = int(ends[f1.argmax()])
    return Threshold(float(scores[end]), float(f1.max()), int(true[end]) / (end + 1), int(true[end]) / num_gt)


def _missed(matches: Matches) -> Ints:
    """Return the rows of the ground-truth boxes without a detection."""
    partners = matches.partners[0]
    return np.setdiff1d(np.arange(len(matches.gt)), partners[partners >= 0])


def _reason(matches: Matches, image: int, classes: Sequence[str]) -> str:
    """Return a summary such as `missed 3 (2 dog, cat); 2 false positives (cow 0.98, dog 0.71)`."""
    gt, detections = matches.gt, matches.detections
    missed = np.intersect1d(_missed(matches), np.flatnonzero(gt.images == image))
    false = np.flatnonzero((matches.partners[0] == UNMATCHED) & (detections.images == image))
    false = false[np.argsort(-detections.scores[false], kind="stable")]
    names = Counter(classes[label - 1] for label in gt.labels[missed].tolist())
    gone = [name if number == 1 else f"{number} {name}" for name, number in names.most_common()]
    wrong = [f"{classes[detections.labels[row] - 1]} {detections.scores[row]:.2f}" for row in false.tolist()]
    parts = [f"missed {len(missed)} ({_first_few(gone)})"] if gone else []
    parts += [f"{len(wrong)} false positive{'s' * (len(wrong) > 1)} ({_first_few(wrong)})"] if wrong else []
    return "; ".join(parts)


def _first_few(texts: list[str]) -> str:
    return ", ".join(texts[:_MAX_NAMED] + ["…"] * (len(texts) > _MAX_NAMED))


def _checked(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}={value} is not a number from 0 to 1.")
    return value
