"""Questions of lesson 10, and their answers: a difference of two scores on the same images, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.data import CocoDataset
from coursekit.evaluation import METRICS, Result
from coursekit.evaluation.compare import MIN_DRAWS, draw_images
from coursekit.evaluation.intervals import Resampled

OWN = "my own"
QUESTIONS = {
    "few classes": "Does a detector that learns only my classes find them better than one that learned all classes?",
    "small objects": "How much better is my detector at large objects than at small ones?",
    "tight boxes": "How much score does my detector lose if boxes must fit tightly, at IoU 0.75 and not 0.5?",
}
Side = tuple[str, list[Result], str]  # whose detections in words, the detections, and one of METRICS


@dataclass(frozen=True)
class Answer:
    """How far two scores are apart, B minus A.

    Attributes:
        question: in words.
        a, b: whose score it is, and which, in words.
        scores: of A and of B; -1 where the images show nothing to score.
        low, high: the middle 95 % of the differences over all draws of images.
        images: how many images there are.
    """

    question: str
    a: str
    b: str
    scores: tuple[float, float]
    low: float
    high: float
    images: int

    @property
    def is_known(self) -> bool:
        """Whether both scores exist."""
        return min(self.scores) >= 0

    @property
    def change(self) -> float:
        """B minus A."""
        return self.scores[1] - self.scores[0]

    def __str__(self) -> str:
        if not self.is_known:
            what = self.a if self.scores[0] < 0 else self.b
            return f"No answer: nothing in the images ({self.images}) can be scored for “{what}”."
        return (
            f"{self.a}: {self.scores[0]:.3f}; {self.b}: {self.scores[1]:.3f}. Difference {self.change:+.3f}, "
            f"95 % interval {self.low:+.3f} to {self.high:+.3f}: {self.verdict}."
        )

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.low <= 0 <= self.high:
            return f"no difference that {self.images} images could show"
        return f"{self.b if self.low > 0 else self.a} is higher"


def text_of(choice: str, own: str = "") -> str:
    """Return a question in words.

    Args:
        choice: one of QUESTIONS, or "my own".
        own: your question, if the choice is "my own".

    Raises:
        ConfigError: there is no such choice, or your own question is empty.
    """
    if choice in QUESTIONS:
        return QUESTIONS[choice]
    if choice != OWN:
        raise ConfigError(f"{choice!r} is none of the questions. Choose one of: {', '.join([*QUESTIONS, OWN])}.")
    if not own.strip():
        raise ConfigError("Your own question is empty. Write it as my_own_question, in a sentence.")
    return own.strip()


def answer(question: str, a: Side, b: Side, dataset: CocoDataset, draws: int = 100, seed: int = 0) -> Answer:
    """Answer a question by the difference of two scores, B minus A: a paired bootstrap over the images.

    Args:
        question: in words.
        a, b: whose detections, the detections in COCO's format, and which of COCO's twelve numbers to take.
        dataset: has the ground truth.
        draws: how many times to draw images, at least 40.
        seed: of the draws.

    Raises:
        ConfigError: a number that COCO doesn't have, or too few draws.
        DataError: a record is not a detection in these images.
    """
    wrong = next((metric for *_, metric in (a, b) if metric not in METRICS), None)
    if wrong is not None:
        raise ConfigError(f"{wrong!r} is none of COCO's numbers. Choose one of: {', '.join(METRICS)}.")
    if draws < MIN_DRAWS:
        raise ConfigError(f"draws={draws}: a 95 % interval needs at least {MIN_DRAWS}.")
    times = np.vstack([np.ones((1, len(dataset)), np.int32), draw_images(len(dataset), draws, seed)])
    tables = [_scores(a[1], dataset, times)]
    tables.append(tables[0] if b[1] is a[1] else _scores(b[1], dataset, times))
    before, after = (table[:, METRICS.index(side[2])] for table, side in zip(tables, (a, b), strict=True))
    known = (before >= 0) & (after >= 0)
    differences = (after - before)[1:][known[1:]]
    low, high = np.percentile(differences, [2.5, 97.5]) if len(differences) else (-1.0, 1.0)
    first, second = (f"{side[0]}, {side[2]}" for side in (a, b))
    scores = float(before[0]), float(after[0])
    return Answer(question, first, second, scores, float(low), float(high), len(dataset))


def _scores(results: list[Result], dataset: CocoDataset, times: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return (draws, 12) COCO's numbers of each draw of images."""
    resampled = Resampled(results, dataset)
    rows: Sequence[list[float]] = [resampled.score(draw) for draw in tqdm(times, "draws of images", leave=False)]
    return np.array(rows)
