"""Is run B better than run A, or could the difference be due to the choice of images?"""

from dataclasses import dataclass

import numpy as np

from coursekit.core.errors import ConfigError
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.match_detections import ON_CROWD, Matches, match
from coursekit.evaluation.results import Result
from coursekit.evaluation.table import Floats, Ints

MIN_DRAWS, _MIN_IMAGES = 40, 10
_RECALLS = np.linspace(0, 1, 101)
_CELLS = 2_000_000  # draws × detections at a time: 16 MB an array, small enough for the caches to help


@dataclass(frozen=True)
class Difference:
    """A number of two runs, and the 95 % confidence interval of their difference B - A."""

    a: float
    b: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """B - A."""
        return self.b - self.a

    def __str__(self) -> str:
        return f"A {self.a:.3f}, B {self.b:.3f}: {self.change:+.3f}, between {self.low:+.3f} and {self.high:+.3f}"


@dataclass(frozen=True)
class Comparison:
    """Two runs, scored on the same images."""

    images: int
    ap: Difference
    ap50: Difference

    @property
    def verdict(self) -> str:
        """Which run is better and by how much, or that these images can't tell."""
        ap = self.ap
        if ap.low > 0:
            return f"B is better: {ap.change:+.3f}, between {ap.low:+.3f} and {ap.high:+.3f}"
        if ap.high < 0:
            return f"A is better: {-ap.change:+.3f}, between {-ap.high:+.3f} and {-ap.low:+.3f}"
        return f"no difference that {self.images} images could show"

    def __str__(self) -> str:
        return f"AP    {self.ap}\nAP50  {self.ap50}\n{self.verdict}"


def compare(
    results_a: list[Result], results_b: list[Result], dataset: CocoDataset, *, draws: int = 200, seed: int = 0
) -> Comparison:
    """Return AP and AP50 of two runs, and how certain their difference is: a paired bootstrap over the images.

    Each draw takes as many images as there are, some of them several times and some never, the same for both runs, and
    scores them. The interval drops 2.5 % of the differences at either end (Efron and Tibshirani, *An Introduction to
    the Bootstrap*, 1993, chapter 13). It covers other images like these, not other training seeds.

    On simulated runs (60 to 120 images, 4 to 16 classes, 200 sets of images each) the interval contained the difference
    on 6,000 images 88 to 95 times in 100, and of two equally good runs one was called better 5 or 6 times in 100. With
    80 classes, many of them in only a few of 133 images, that rose to 8 times. There the interval is up to a quarter
    too short, and AP itself depends on the number of images: trust the sign more than the size.

    A match depends on its own image alone, so matches are computed once; a draw only changes how often each counts.

    Args:
        results_a, results_b: detections in COCO's format.
        dataset: has the ground truth.
        draws: at least 40, so that one of them can be beyond either end.
        seed: seed of the draws.

    Raises:
        ConfigError: there are too few draws or images.
        DataError: there is no ground truth, or a record is not a detection in these images of one of their classes.
    """
    if draws < MIN_DRAWS:
        raise ConfigError(f"draws={draws}: a 95 % interval needs at least {MIN_DRAWS}; 200 is usual.")
    if len(dataset) < _MIN_IMAGES:
        raise ConfigError(
            f"{dataset.annotation_file}: {len(dataset)} images can't tell two runs apart. Use at least {_MIN_IMAGES}."
        )
    times: Ints = np.vstack([np.ones((1, len(dataset)), np.int32), draw_images(len(dataset), draws, seed)])
    a = precisions(match(results_a, dataset, name="results of A"), times, len(dataset.classes))
    b = precisions(match(results_b, dataset, name="results of B"), times, len(dataset.classes))
    return Comparison(len(dataset), _difference(a.mean(1), b.mean(1)), _difference(a[:, 0], b[:, 0]))


def draw_images(images: int, draws: int, seed: int) -> Ints:
    """Return (draws, images) how often each image is in each draw; each row sums to `images`."""
    drawn = np.random.default_rng(seed).integers(0, images, (draws, images))
    return np.stack([np.bincount(draw, minlength=images) for draw in drawn]).astype(np.int32)  # half the memory


def _difference(a: Floats, b: Floats) -> Difference:
    """Compare two runs: the first values are on all images, the others on the draws. NaN doesn't count."""
    low, high = np.nanpercentile(b[1:] - a[1:], [2.5, 97.5])
    return Difference(float(a[0]), float(b[0]), float(low), float(high))


def precisions(matches: Matches, times: Ints, classes: int) -> Floats:
    """Return average precision, the mean over classes, with each image counted several times or not at all.

    Args:
        matches: at T IoU thresholds.
        times: (R, I) how often each image counts, for R draws at once.
        classes: how many there are.

    Returns:
        (R, T). NaN for a draw without ground truth.
    """
    total, counted = np.zeros((len(times), len(matches.partners))), np.zeros((len(times), 1))
    for label in range(1, classes + 1):
        present = times[:, matches.gt.images[matches.gt.labels == label]].sum(1)
        total += _precisions_of_class(matches, label, times, present)
        counted += (present > 0)[:, None]
    with np.errstate(invalid="ignore"):
        return total / counted


def _precisions_of_class(matches: Matches, label: int, times: Ints, present: Ints) -> Floats:
    """Return (R, T) average precision of a class; 0 where it has no ground truth."""
    rows = np.flatnonzero(matches.detections.labels == label)
    rows = rows[np.argsort(-matches.detections.scores[rows], kind="stable")]  # equal scores: by image, as COCO
    images, partners = matches.detections.images[rows], matches.partners[:, rows]
    step = max(1, _CELLS // max(1, len(rows)))
    parts = [
        _precisions_of_part(partners, times[start : start + step, images], present[start : start + step])
        for start in range(0, len(times), step)
    ]
    return np.concatenate(parts)


def _precisions_of_part(partners: Ints, weights: Ints, present: Ints) -> Floats:
    """Return (R, T) average precision.

    Args:
        partners: (T, D) of the detections by falling score.
        weights: (R, D) how often each detection counts.
        present: (R,) how many ground-truth boxes there are.
    """
    counted = _running_sums(weights)
    areas = np.zeros((len(weights), len(partners)))
    for number, partner in enumerate(partners):
        tp = np.flatnonzero(partner >= 0)  # true positives: precision peaks there, so no other place matters
        ignored = np.flatnonzero(partner == ON_CROWD)
        before = _running_sums(weights[:, ignored])[:, np.searchsorted(ignored, tp)]
        areas[:, number] = _area(_running_sums(weights[:, tp])[:, 1:], counted[:, tp + 1] - before, present)
    return areas


def _running_sums(weights: Ints) -> Ints:
    """Return (R, D + 1) the sums of the first 0, 1, … D numbers of each row."""
    sums = np.zeros((len(weights), weights.shape[1] + 1), weights.dtype)
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _area(tp: Ints, counted: Ints, present: Ints) -> Floats:
    """Return (R,) the mean of the precision at 101 recalls, each the highest at that recall or beyond.

    Args:
        tp, counted: (R, P) after each true positive, how many true positives and how many detections there are.
        present: (R,) how many ground-truth boxes there are.
    """
    if not tp.shape[1]:
        return np.zeros(len(tp))
    precision = tp / np.maximum(counted, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(_RECALLS, tp / np.maximum(present, 1)[:, None], side="right")
    reached[present == 0] = 0
    return (best * np.diff(reached, axis=1, prepend=0)).sum(1) / len(_RECALLS)
