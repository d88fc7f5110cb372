"""What went wrong: errors by kind and what each costs, which classes are mixed up, which images to look at."""

import io
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.compare import IN_A_CROWD, NOTHING, Matches, match
from coursekit.evaluation.results import Result

KINDS = {
    "class": "in place, but called something else",
    "place": "of the right class, but beside the object",
    "both": "beside an object of another class",
    "double": "a second box on an object already found",
    "background": "on nothing",
    "missed": "an object that no box is on, not even a wrong one",
}
_HOTCOCO = {"class": "Cls", "place": "Loc", "both": "Both", "double": "Dupe", "background": "Bkg", "missed": "Miss"}
_MOST_NAMED = 3


@dataclass(frozen=True)
class Kind:
    """How often one kind of error happened, and how much AP50 would rise if it alone were mended."""

    count: int
    cost: float


@dataclass(frozen=True)
class ErrorReport:
    """Errors by kind, the names as in KINDS. The costs don't add up to 1 - AP50: mending one kind uncovers others."""

    ap50: float
    kinds: dict[str, Kind]

    @property
    def costliest(self) -> str:
        """The kind that is worth mending first."""
        return max(self.kinds, key=lambda name: self.kinds[name].cost)

    def __str__(self) -> str:
        lines = [f"{name:<11}{kind.count:>8,}{kind.cost:>9.3f}  {KINDS[name]}" for name, kind in self.kinds.items()]
        return "\n".join([f"AP50 {self.ap50:.3f}", f"{'kind':<11}{'count':>8}{'costs':>9}", *lines])


class Threshold(NamedTuple):
    """The score from which on to believe a class, and what that gives at IoU 0.5."""

    score: float
    f1: float
    precision: float
    recall: float


class WorstImage(NamedTuple):
    """An image to look at, and what is wrong in it."""

    image_id: int
    reason: str


def split_errors(results: list[Result], dataset: CocoDataset) -> ErrorReport:
    """Errors by kind and the AP50 that each costs, after Bolya et al., *TIDE: A General Toolbox for Identifying Object
    Detection Errors*, 2020.

    A detection on nothing of its class (IoU under 0.5) has one error: `place` from IoU 0.1 with its class, `class` from
    0.5 with another, `double` where its object is taken, `background` under 0.1 with everything, else `both`. An object
    is `missed` where neither a detection is on it nor one with `class` or `place` wrong stands for it. An oracle mends
    `class` and `place` where the object is free, and takes the detection away otherwise; it takes away what is
    `double`, `background` and `both`; it no longer asks for what is `missed`. So an object found with `both` wrong
    counts twice: its box as `both`, itself as `missed`.

    Args:
        results: detections in COCO's format, of all scores: AP is made of the unsure ones, too.
        dataset: whose records are the truth.

    Raises:
        DataError: nothing to find in the images, or a record is no detection in them of one of their classes.
    """
    matches = match(results, dataset, [0.5])
    with redirect_stdout(io.StringIO()):
        truth = hotcoco.COCO(_without_crowds(dataset))
        evaluator = hotcoco.COCOeval(truth, truth.loadRes(_counting(matches, dataset)), "bbox")
        evaluator.evaluate()
        found: dict[str, Any] = evaluator.tide_errors(pos_thr=0.5, bg_thr=0.1)
    kinds = {name: Kind(int(found["counts"][key]), float(found["delta_ap"][key])) for name, key in _HOTCOCO.items()}
    return ErrorReport(float(found["ap_base"]), kinds)


def confusion_matrix(
    results: list[Result], dataset: CocoDataset, *, threshold: float = 0.5, iou: float = 0.5
) -> NDArray[np.int64]:
    """How often an object of each class (row) was found as each class (column).

    Detections are laid on objects of their own class first, as for AP, and only what is left over on objects of other
    classes: a rider and his horse, both found, are no confusion, however much their boxes overlap. What lies in a crowd
    of its class doesn't count.

    Args:
        results: detections in COCO's format.
        dataset: whose records are the truth.
        threshold: the lowest score that counts.
        iou: the least overlap.

    Returns:
        (K + 1, K + 1): the last row has what was found where nothing is, the last column what was missed.

    Raises:
        ConfigError: `iou` or `threshold` is not in 0 to 1.
        DataError: nothing to find in the images, or a record is no detection in them of one of their classes.
    """
    least = _checked(threshold, "threshold")
    matches = match(results, dataset, [_checked(iou, "iou")], box_score_thresh=least, across_classes=True)
    partners, none = matches.partners[0], len(dataset.classes)
    matrix = np.zeros((none + 1, none + 1), np.int64)
    on = partners >= 0
    np.add.at(matrix, (matches.objects.labels[partners[on]] - 1, matches.found.labels[on] - 1), 1)
    matrix[none, :none] = np.bincount(matches.found.labels[partners == NOTHING] - 1, minlength=none)
    matrix[:none, none] = np.bincount(matches.objects.labels[_missed(matches)] - 1, minlength=none)
    return matrix


def best_thresholds(results: list[Result], dataset: CocoDataset) -> dict[str, Threshold]:
    """For each class that is there, the score from which on F1 at IoU 0.5 is best.

    F1 is the harmonic mean of precision and recall. Found on these images, so a little too good for others. A class
    that was never found right has a score of 1 and zeros.

    Raises:
        DataError: nothing to find in the images, or a record is no detection in them of one of their classes.
    """
    matches = match(results, dataset, [0.5])
    found, partners = matches.found, matches.partners[0]
    best = {}
    for label, name in enumerate(dataset.classes, 1):
        present = int((matches.objects.labels == label).sum())
        counts = (found.labels == label) & (partners != IN_A_CROWD)
        if present:
            best[name] = _best_threshold(found.scores[counts], partners[counts] >= 0, present)
    return best


def worst_images(
    results: list[Result], dataset: CocoDataset, count: int, *, threshold: float = 0.5
) -> list[WorstImage]:
    """The images with the most objects missed and sure false detections, the worst first.

    An object missed counts 1, a false detection its score. Images in which all is right are left out.

    Args:
        results: detections in COCO's format.
        dataset: whose records are the truth.
        count: how many at most.
        threshold: the lowest score that counts as found.

    Raises:
        ConfigError: `count` is not positive, or `threshold` not in 0 to 1.
        DataError: nothing to find in the images, or a record is no detection in them of one of their classes.
    """
    if count < 1:
        raise ConfigError(f"count={count}: take at least 1 image.")
    matches = match(results, dataset, [0.5], box_score_thresh=_checked(threshold, "threshold"))
    missed, false = _missed(matches), np.flatnonzero(matches.partners[0] == NOTHING)
    badness = np.bincount(matches.objects.images[missed], minlength=len(dataset)).astype(np.float64)
    np.add.at(badness, matches.found.images[false], matches.found.scores[false])
    worst = [place for place in np.argsort(-badness, kind="stable")[:count].tolist() if badness[place] > 0]
    ids = sorted(dataset.image_ids)
    return [WorstImage(ids[place], _reason(matches, missed, false, place, dataset.classes)) for place in worst]


def best_images(results: list[Result], dataset: CocoDataset, count: int, *, threshold: float = 0.5) -> list[int]:
    """Ids of the images in which most is right: objects found less objects missed and false detections, best first.

    Arguments and errors are those of `worst_images`. Images in which nothing was found are left out.
    """
    if count < 1:
        raise ConfigError(f"count={count}: take at least 1 image.")
    matches = match(results, dataset, [0.5], box_score_thresh=_checked(threshold, "threshold"))
    found, false = matches.partners[0] >= 0, matches.partners[0] == NOTHING
    right = np.bincount(matches.found.images[found], minlength=len(dataset))
    missed = np.bincount(matches.objects.images[_missed(matches)], minlength=len(dataset))
    wrong = np.bincount(matches.found.images[false], minlength=len(dataset))
    order = np.argsort(missed + wrong - right, kind="stable")
    best = order[right[order] > 0][:count].tolist()
    return [sorted(dataset.image_ids)[place] for place in best]


def _without_crowds(dataset: CocoDataset) -> dict[str, list[dict[str, Any]]]:
    """The truth without crowds: the engine would take a box beside a crowd for a box beside an object."""
    truth = dataset.truth()
    return truth | {"annotations": [record for record in truth["annotations"] if not record["iscrowd"]]}


def _counting(matches: Matches, dataset: CocoDataset) -> NDArray[np.float64]:
    """(N, 7) the detections that are not in a crowd: image id, left, top, width, height, score, category id."""
    found = matches.found.take(np.flatnonzero(matches.partners[0] != IN_A_CROWD))
    image_ids, category_ids = np.sort(dataset.image_ids)[found.images], np.array(dataset.category_ids)[found.labels - 1]
    return np.column_stack([image_ids, found.boxes, found.scores, category_ids])


def _best_threshold(scores: NDArray[np.float64], right: NDArray[np.bool_], present: int) -> Threshold:
    """From the scores (D,) of one class, which of them are right (D,), and how many objects there are."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], right[order].cumsum()
    ends = np.flatnonzero(np.diff(scores, append=-np.inf) < 0)  # a threshold can't part equal scores
    if not hits[-1:].any():
        return Threshold(1.0, 0.0, 0.0, 0.0)
    f1 = 2 * hits[ends] / (ends + 1 + present)
    place = int(ends[f1.argmax()])
    right_there = int(hits[place])
    return Threshold(float(scores[place]), float(f1.max()), right_there / (place + 1), right_there / present)


def _missed(matches: Matches) -> NDArray[np.intp]:
    """Rows of the objects that no detection is on."""
    taken = np.zeros(len(matches.objects), bool)
    taken[matches.partners[0][matches.partners[0] >= 0]] = True
    return np.flatnonzero(~taken)


def _reason(
    matches: Matches, missed: NDArray[np.intp], false: NDArray[np.intp], place: int, classes: Sequence[str]
) -> str:
    """Such as: missed 3 (2 dog, cat); 2 false (cow 0.98, dog 0.71)."""
    objects, found = matches.objects, matches.found
    names = Counter(classes[label - 1] for label in objects.labels[missed[objects.images[missed] == place]].tolist())
    gone = [name if number == 1 else f"{number} {name}" for name, number in names.most_common()]
    here = false[found.images[false] == place]
    here = here[np.argsort(-found.scores[here], kind="stable")]
    wrong = [f"{classes[found.labels[row] - 1]} {found.scores[row]:.2f}" for row in here.tolist()]
    parts = []
    if gone:
        parts.append(f"missed {names.total()} ({_named(gone)})")
    if wrong:
        parts.append(f"{len(wrong)} false ({_named(wrong)})")
    return "; ".join(parts)


def _named(texts: list[str]) -> str:
    return ", ".join(texts[:_MOST_NAMED] + ["…"] * (len(texts) > _MOST_NAMED))


def _checked(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name}={value}: a number from 0 to 1 is needed.")
    return value
