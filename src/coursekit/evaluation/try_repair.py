"""Whether undoing a cause explains a bad score: try it, and count the ground-truth boxes that match then."""

from dataclasses import dataclass, replace

import numpy as np

from coursekit.evaluation.causes_and_repairs import Case, Repair
from coursekit.evaluation.match_detections import paired_iou, pairs_of
from coursekit.evaluation.table import Bools

MATCH_IOU = 0.5

# When a repair is convincing. A wrong one loses nearly all matches there were and gains few by chance. So the two are
# compared, and chance is measured: the same boxes against the ground truth of another image.
MIN_GAINED = 5  # ground-truth boxes: fewer can be luck
GAINED_PER_LOST = 4
MIN_GROWTH = 1.2  # times as many matches as before: less does not explain a strange score
MIN_MATCHED = 0.05  # of the ground truth in images with detections: below, the repaired score is still near zero
TIMES_CHANCE = 3
MIN_CORRECT_CLASS = 0.4  # of the boxes that fit, a correct map of classes gets at least this share right


@dataclass(frozen=True)
class Finding:
    """One cause that fits.

    Attributes:
        cause: one of `diagnose.CAUSES`.
        evidence: a sentence with the numbers that support it.
        cure: a sentence on what to do.
        gain: how much the share of matched ground-truth boxes grows once this cause and those named before it are
            undone; 0 if that can't be tried.
    """

    cause: str
    evidence: str
    cure: str
    gain: float = 0.0

    def __str__(self) -> str:
        return f"{self.cause}: {self.evidence} {self.cure}"


def try_repair(repair: Repair, case: Case) -> Finding | None:
    """Return a finding if the repaired detections match much better than the given ones."""
    repaired = case.with_detections(repair.detections).sample()
    now, then = matched(replace(repaired, detections=case.detections)), matched(repaired)
    if not _is_much_better(now, then) or then.sum() < TIMES_CHANCE * matched(_misplaced(repaired)).sum():
        return None
    if repair.cause == "category_ids" and then.sum() < MIN_CORRECT_CLASS * matched(repaired.as_one_class()).sum():
        return None
    trial = f"with that undone, {then.sum():,} of {len(then):,} ground-truth boxes match instead of {now.sum():,}"
    return Finding(repair.cause, f"{repair.symptom}; {trial}.", repair.cure, float(then.mean() - now.mean()))


def _is_much_better(now: Bools, then: Bools) -> bool:
    gained, lost = int((then & ~now).sum()), int((now & ~then).sum())
    clear = gained >= MIN_GAINED and gained >= GAINED_PER_LOST * lost
    return clear and bool(then.sum() >= MIN_GROWTH * now.sum() and then.mean() >= MIN_MATCHED)


def _misplaced(case: Case) -> Case:
    """Return the case with each detection in the next image that has any: what matches there matches by chance."""
    images, places = np.unique(case.detections.images, return_inverse=True)
    others = np.roll(images, -1) if len(images) > 1 else np.full(len(images), -1)  # one image tells nothing of chance
    return case.with_detections(replace(case.detections, images=others[places]))


def matched(case: Case) -> Bools:
    """Return (G,) whether each ground-truth box has a detection of its class with an IoU of at least 0.5."""
    rows, gt_rows = pairs_of(case.detections, case.gt)
    hit = np.zeros(len(case.gt), bool)
    hit[gt_rows[paired_iou(case.detections.boxes[rows], case.gt.boxes[gt_rows]) >= MATCH_IOU]] = True
    return hit
