"""Which of the detector's steps run for the whole batch at once, and which image by image.

A step runs image by image if one of its functions was replaced by one that no check has found correct: the batched twin
doesn't call it.
"""

from collections.abc import Collection
from functools import partial
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import batched
from coursekit.detector.boxes import Part
from coursekit.detector.choose_parts import PARTS
from coursekit.detector.padded_boxes import Boxes, GroundTruth, RoIs, pad_boxes

TWINS = ("rpn_losses", "propose", "sample_rois", "pool_levels", "detection_losses", "postprocess")


def choose_stages(parts: SimpleNamespace, unchecked: Collection[str]) -> SimpleNamespace:
    """Return a function for each of TWINS, with the arguments of `batched.NAME`.

    Args:
        parts: all parts, see `choose_parts`.
        unchecked: names of replaced parts that no check has found correct.
    """
    stages = {}
    for name in TWINS:
        is_twin = not called_by(name) & set(unchecked)
        stages[name] = getattr(batched, name) if is_twin else partial(globals()[f"_{name}"], getattr(parts, name))
    return SimpleNamespace(**stages)


def called_by_twins() -> set[str]:
    """Return the names of the parts in whose place the batched twins run: the six, and what they call."""
    return set().union(*map(called_by, TWINS))


def called_by(name: str) -> set[str]:
    """Return the names of a part and of all parts that it calls, directly or not."""
    if name == "roi_align":
        return {"roi_align", "axis_weights"}
    parameters = signature(PARTS[name]).parameters.values()
    called = [parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    return {name}.union(*(called_by(other) for other in called))


def _rpn_losses(
    part: Part, logits: Tensor, deltas: Tensor, anchors: Tensor, gt: GroundTruth, keys: Tensor, count: int
) -> dict[str, Tensor]:
    boxes = [boxes for boxes, _ in gt.by_image()]
    return part(logits, deltas, anchors, boxes, count, generators=_generators(keys, 0))


def _propose(
    part: Part, logits: Tensor, deltas: Tensor, anchors: Tensor, level_sizes: list[int], sizes: Tensor, *limits: Any
) -> Boxes:
    images = zip(logits, deltas, sizes.int().tolist(), strict=True)
    return pad_boxes([part(*image[:2], anchors, level_sizes, tuple(image[2]), *limits) for image in images])


def _sample_rois(part: Part, proposals: Boxes, gt: GroundTruth, keys: Tensor, count: int) -> RoIs:
    generators = _generators(keys, proposals.boxes.shape[1])  # at the first ground-truth box, which any batch has
    images = zip(proposals.by_image(), gt.by_image(), generators, strict=True)
    drawn = [part(boxes, *target, count, generator=generator) for boxes, target, generator in images]
    rois, labels, target_boxes = (list(column) for column in zip(*drawn, strict=True))
    padded = pad_boxes(rois)
    padded_labels = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True)
    return RoIs(padded.boxes, padded.is_real, padded_labels, pad_boxes(target_boxes).boxes)


def _pool_levels(part: Part, levels: list[Tensor], strides: list[int], rois: Boxes, *limits: Any) -> Tensor:
    patches = part(levels, strides, rois.by_image(), *limits)
    padded = patches.new_zeros(rois.is_real.numel(), *patches.shape[1:])
    return padded.index_put((torch.where(rois.is_real.flatten())[0],), patches)


def _detection_losses(part: Part, logits: Tensor, deltas: Tensor, rois: RoIs) -> dict[str, Tensor]:
    real = torch.where(rois.is_real.flatten())[0]
    missing = rois.boxes.shape[1] - rois.target_boxes.shape[1]
    target_boxes = torch.nn.functional.pad(rois.target_boxes, (0, 0, 0, missing))
    columns = (rois.boxes.flatten(0, 1), rois.labels.flatten(), target_boxes.flatten(0, 1))
    return part(logits[real], deltas[real], *(column[real] for column in columns))


def _postprocess(
    part: Part, logits: Tensor, deltas: Tensor, rois: Boxes, sizes: Tensor, *limits: Any
) -> list[dict[str, Tensor]]:
    real = [torch.where(is_real)[0] + image * len(is_real) for image, is_real in enumerate(rois.is_real)]
    images = zip(real, rois.by_image(), sizes.int().tolist(), strict=True)
    return [part(logits[rows], deltas[rows], boxes, tuple(size), *limits) for rows, boxes, size in images]


def _generators(keys: Tensor, column: int) -> list[torch.Generator]:
    """Return a random generator for each image, whose seed is one of the image's random numbers."""
    return [torch.Generator(keys.device).manual_seed(seed) for seed in keys[:, column].tolist()]
