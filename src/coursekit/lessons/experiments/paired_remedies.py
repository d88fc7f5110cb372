"""Remedies for kinds of errors, tried in pairs: two runs with the same seed, one of them with the change."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from coursekit.core.errors import ConfigError
from coursekit.data import CocoDataset
from coursekit.detector import FasterRCNN, Options, batched, box_iou
from coursekit.detector.padded_boxes import Boxes, GroundTruth, RoIs
from coursekit.evaluation import Result
from coursekit.evaluation.compare import draw_images, precisions
from coursekit.evaluation.match_detections import match
from coursekit.lessons.experiments.cached_features import (
    CachedBackbone,
    CachedFeatures,
    cache_features,
    predict_on,
    train_on,
)

LR = 5e-4
MORE = ("positive_fraction", "background_iou", "box_loss_weight")  # changes that are none of the detector's options


def conclusion(word: str, remedy: str) -> str:
    """Return a verdict ("proved", "disproved" or "open") on a remedy as a sentence, without its full stop."""
    ends = {"proved": "proved, it helped", "disproved": "disproved, it made things worse"}
    return f"{remedy}: {ends.get(word, 'whether it helps is open')}"


def change_detector(detector: FasterRCNN, **changes: Any) -> None:
    """Change a detector in place.

    Args:
        detector: the detector.
        changes: options of `coursekit.detector.Options`, and three more. positive_fraction: the share of the sampled
            RoIs that may be objects; 0.25 so far. background_iou: background RoIs overlap an object with at least this
            IoU (Girshick, *Fast R-CNN*, 2015, section 2.3, takes 0.1 to get hard examples); 0 so far. box_loss_weight:
            factor of the second stage's box loss; 1 so far.

    Raises:
        ConfigError: there is no such option.
    """
    known = {field.name for field in fields(Options)}
    unknown = [name for name in changes if name not in known and name not in MORE]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} can't be changed here. Choose from: {', '.join([*sorted(known), *MORE])}.")
    detector.options = replace(detector.options, **{name: changes[name] for name in changes if name in known})
    if "positive_fraction" in changes:
        detector.stages.sample_rois = partial(batched.sample_rois, positive_fraction=changes["positive_fraction"])
    if "background_iou" in changes:
        detector.stages.sample_rois = partial(_sample_near, detector.stages.sample_rois, changes["background_iou"])
    if "box_loss_weight" in changes:
        weighted = partial(_weighted_losses, detector.stages.detection_losses, changes["box_loss_weight"])
        detector.stages.detection_losses = weighted


def _sample_near(sample: Any, least_iou: float, proposals: Boxes, gt: GroundTruth, *rest: Any) -> RoIs:
    """Sample RoIs among the proposals that overlap an object; among all in an image without objects."""
    real = proposals.is_real.clone()
    for image, (boxes, _) in enumerate(gt.by_image()):
        if len(boxes):
            real[image] &= box_iou(proposals.boxes[image], boxes).amax(1) >= least_iou
    rois: RoIs = sample(Boxes(proposals.boxes, real), gt, *rest)
    return rois


def _weighted_losses(losses_of: Any, weight: float, *args: Any) -> dict[str, Tensor]:
    losses: dict[str, Tensor] = losses_of(*args)
    return losses | {"loss_box_reg": losses["loss_box_reg"] * weight}


@dataclass(frozen=True)
class Trial:
    """A detector that goes on training behind its frozen backbone, whose features are computed once.

    Attributes:
        detector: where each run begins; it stays as it is.
        train, val: features to train on, and to detect in.
    """

    detector: FasterRCNN
    train: CachedFeatures
    val: CachedFeatures

    @classmethod
    def of(cls, detector: FasterRCNN, train_set: CocoDataset, val_set: CocoDataset, size: int) -> "Trial":
        """Compute the features of both data sets, at a long side of `size` pixels."""
        backbone: Any = detector.backbone
        return cls(detector, cache_features(train_set, backbone, size), cache_features(val_set, backbone, size))

    def run(self, seed: int, **changes: Any) -> tuple[FasterRCNN, list[Result]]:
        """Train a copy for one more epoch. Return it, and what it detects; for `changes`, see `change_detector`."""
        pupil: Any = copy.deepcopy(self.detector)
        pupil.backbone = CachedBackbone(self.train.strides)
        change_detector(pupil, **changes)
        train_on(pupil, self.train, epochs=1, seed=seed, lr=LR)
        _, results = predict_on(pupil, self.val)
        pupil.backbone = self.detector.backbone  # whole again
        return pupil, results

    def pairs(self, count: int, **changes: Any) -> tuple[list[list[Result]], list[list[Result]], FasterRCNN]:
        """Run `count` pairs, each with a seed of its own: without the changes and with them.

        Returns:
            The detections of the baselines, those of the changed runs, and the last changed detector.
        """
        baselines, changed, pupil = [], [], self.detector
        for seed in tqdm(range(count), "pairs", unit="pair"):
            baselines.append(self.run(seed)[1])
            pupil, results = self.run(seed, **changes)
            changed.append(results)
        return baselines, changed, pupil


def on_other_images(
    baselines: Sequence[list[Result]], changed: Sequence[list[Result]], dataset: CocoDataset, draws: int = 200
) -> tuple[float, float]:
    """Return the 95 % interval of the mean change of AP, over draws of images that all runs share.

    Args:
        baselines, changed: detections of runs in pairs.
        dataset: has the ground truth.
        draws: how many times to draw images.
    """
    times = draw_images(len(dataset), draws, seed=0)
    differences = [
        _ap(after, dataset, times) - _ap(before, dataset, times)
        for before, after in zip(baselines, changed, strict=True)
    ]
    low, high = np.nanpercentile(np.mean(differences, axis=0), [2.5, 97.5])
    return float(low), float(high)


def _ap(results: list[Result], dataset: CocoDataset, times: Any) -> Any:
    """Return (draws,) AP of each draw of images."""
    return precisions(match(results, dataset), times, len(dataset.classes)).mean(1)
