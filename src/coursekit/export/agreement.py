"""Does an exported detector find what PyTorch's finds?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.errors import DataError
from coursekit.detector.boxes import box_iou
from coursekit.export.graph import Limits, input_size, limits_of
from coursekit.export.onnx_detector import OnnxDetector

Detections = dict[str, Tensor]
Candidates = Callable[[], Detections]
BOX_TOLERANCE = 1e-2  # pixels
SCORE_TOLERANCE = 1e-4
TIE = 1e-5  # scores that are closer than this may change places, because the two compute with other roundings
MOST_NAMED = 3  # differences that the error quotes


@dataclass
class Agreement:
    """How well two detectors agree.

    Attributes:
        images: number of images compared.
        detections: number of detections that both found.
        box_error: the largest difference of a coordinate, in pixels.
        score_error: the largest difference of a score.
        swaps: detections that only one of them kept, because its score was as good as that of another box, which NMS
            dropped for it, or as the lowest score that counts. PyTorch has them all before NMS.
        differences: what else differs, in words.
    """

    images: int = 0
    detections: int = 0
    box_error: float = 0.0
    score_error: float = 0.0
    swaps: int = 0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        swaps = f", but for {self.swaps} with equal scores, of which each kept another one" if self.swaps else ""
        return (
            f"Agrees with PyTorch on {self.images} images: {self.detections} detections, boxes within "
            f"{self.box_error:.1g} pixels, scores within {self.score_error:.1g}{swaps}."
        )


@torch.inference_mode()
def check_agreement(model: nn.Module, exported: OnnxDetector, images: Iterable[Tensor]) -> Agreement:
    """Compare the detections of a model and of its export in (3, H, W) uint8 images.

    Raises:
        DataError: they differ.
    """
    agreement, size, limits = Agreement(), input_size(model), limits_of(model)
    for image in images:
        expected = model([image / 255], pad_to=size)[0]
        compare(agreement, expected, exported(image), limits, partial(_before_nms, model, image))
    if agreement.differences:
        named = "; ".join(agreement.differences[:MOST_NAMED])
        raise DataError(
            f"the exported detector differs from PyTorch's in {len(agreement.differences)} detections of "
            f"{agreement.images} images: {named}. Please open an issue with this message."
        )
    return agreement


def compare(
    agreement: Agreement, expected: Detections, found: Detections, limits: Limits, candidates: Candidates
) -> None:
    """Add the detections of one image to an agreement.

    Args:
        agreement: where to add them.
        expected: PyTorch's detections.
        found: those of the export.
        limits: what decided which were kept.
        candidates: returns those that PyTorch had before NMS.
    """
    pairs = _pairs(expected, found)
    rows, columns = ([pair[side] for pair in pairs] for side in (0, 1))
    box_errors = (expected["boxes"][rows] - found["boxes"][columns]).abs()
    score_errors = (expected["scores"][rows] - found["scores"][columns]).abs()
    agreement.images += 1
    agreement.detections += len(pairs)
    agreement.box_error = max([agreement.box_error, *box_errors.flatten().tolist()])
    agreement.score_error = max([agreement.score_error, *score_errors.tolist()])
    alone = _without(expected, rows), _without(found, columns)
    unknown = _unknown(alone[1], candidates) if len(alone[1]["scores"]) else set()
    known = _without(alone[1], list(unknown))
    sides = ("PyTorch", alone[0], known, found), ("the export", alone[1], alone[0], expected)
    for name, mine, rivals, other in sides:
        ties = [limits.score_thresh, *_last_score(other, limits.detections_per_img)]
        for row in range(len(mine["scores"])):
            detection = {key: value[row] for key, value in mine.items()}
            is_unknown = mine is alone[1] and row in unknown
            if _is_swap(detection, rivals, ties, limits.nms_thresh, is_unknown):
                agreement.swaps += 1
            else:
                agreement.differences.append(_described(agreement.images, name, detection))


def _pairs(expected: Detections, found: Detections) -> list[tuple[int, int]]:
    """Return which detections are the same: rows of `expected` and of `found`, each at most once."""
    gaps = (expected["boxes"][:, None] - found["boxes"]).abs().amax(2)  # (D, E)
    is_same = (gaps <= BOX_TOLERANCE) & (expected["labels"][:, None] == found["labels"])
    is_same &= (expected["scores"][:, None] - found["scores"]).abs() <= SCORE_TOLERANCE
    pairs: list[tuple[int, int]] = []
    for row in range(len(gaps)):
        free = [column for column in torch.where(is_same[row])[0].tolist() if column not in {used for _, used in pairs}]
        if free:
            pairs.append((row, min(free, key=lambda column: float(gaps[row, column]))))
    return pairs


def _unknown(found: Detections, candidates: Candidates) -> set[int]:
    """Return the rows of those that PyTorch doesn't have, also not before NMS."""
    return set(range(len(found["scores"]))) - {column for _, column in _pairs(candidates(), found)}


def _before_nms(model: Any, image: Tensor) -> Detections:
    """Return PyTorch's detections in an image without NMS, however many they are."""
    options, prefix = model.options, "box_" if hasattr(model.options, "box_nms_thresh") else ""
    model.options = replace(options, **{f"{prefix}nms_thresh": 1.0, f"{prefix}detections_per_img": 10**6})
    try:
        detections: Detections = model([image / 255], pad_to=input_size(model))[0]
        return detections
    finally:
        model.options = options


def _without(detections: Detections, rows: list[int]) -> Detections:
    is_left = torch.ones(len(detections["scores"]), dtype=torch.bool)
    is_left[rows] = False
    return {name: value[is_left] for name, value in detections.items()}


def _last_score(detections: Detections, most: int) -> list[float]:
    """Return the lowest score of a list that is full: with a tie, another detection could have been the last."""
    return [float(detections["scores"].min())] if len(detections["scores"]) == most else []


def _is_swap(
    detection: Detections, others: Detections, ties: list[float], iou_threshold: float, is_unknown: bool
) -> bool:
    """Return whether only a tie of scores decides that a detection is in one list and not in the other.

    A box that PyTorch doesn't have at all, also not before NMS, can only be one that just passed the lowest score.
    """
    if any(abs(float(detection["scores"]) - limit) < TIE for limit in ties):
        return True
    if is_unknown:
        return False
    is_rival = (others["labels"] == detection["labels"]) & ((others["scores"] - detection["scores"]).abs() < TIE)
    overlaps = box_iou(detection["boxes"][None], others["boxes"])[0] > iou_threshold
    return bool((is_rival & overlaps).any())


def _described(image: int, name: str, detection: Detections) -> str:
    box = ", ".join(f"{side:.1f}" for side in detection["boxes"].tolist())
    score, label = float(detection["scores"]), int(detection["labels"])
    return f"image {image}: only {name} has label {label} with a score of {score:.5f} at ({box})"
