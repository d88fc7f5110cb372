"""A box head that knows the ground truth: what is lost after it, `postprocess` has lost."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.data import CocoDataset
from coursekit.data.boxes import Size, Target
from coursekit.detector import encode_boxes
from coursekit.detector.roi import BBOX_REG_WEIGHTS
from coursekit.evaluation import Detection, score, to_coco_results
from coursekit.evaluation.results import Result
from coursekit.lessons.notebooks.short_form import short_form

Postprocess = Callable[[Tensor, Tensor, Tensor, Size], Detection]  # logits, deltas, rois, size
CONFIDENCE = 9.0  # logit of the correct class; the others have 0
PER_OBJECT, SPREAD, BACKGROUND = 4, 0.1, 6  # RoIs near an object, how near, and RoIs of nothing in each image


def around(target: Target, each: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random RoIs around the objects of an image.

    Args:
        target: `boxes` (G, 4) xyxy in pixels and `labels` (G,) of the objects.
        each: RoIs around each object.
        spread: each corner is moved by up to twice this share of the object's sides.
        seed: of the random numbers.

    Returns:
        RoIs (G * each, 4) xyxy in pixels; the label of each, (G * each,); and the box of its object, (G * each, 4).
    """
    generator = torch.Generator().manual_seed(seed)
    boxes = target["boxes"].repeat_interleave(each, 0)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    rois = boxes + spread * sides * torch.randn(boxes.shape, generator=generator).clamp(-2, 2)
    return rois, target["labels"].repeat_interleave(each), boxes


def know(
    rois: Tensor, labels: Tensor, boxes: Tensor, num_classes: int, noise: float = 0.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return what a box head would predict if it knew the ground truth.

    Args:
        rois: (R, 4) xyxy in pixels.
        labels: (R,) int64, the class of each; 0 for background.
        boxes: (R, 4) xyxy, the box that each should become.
        num_classes: K, without the background.
        noise: standard deviation of what is added to the logits; a third of it is added to the deltas.
        seed: for the noise.

    Returns:
        logits (R, K + 1) and deltas (R, K + 1, 4), the same for all classes.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = CONFIDENCE * F.one_hot(labels, num_classes + 1).float()
    deltas = encode_boxes(boxes, rois, BBOX_REG_WEIGHTS)[:, None].repeat(1, num_classes + 1, 1)
    logits = logits + noise * torch.randn(logits.shape, generator=generator)
    return logits, deltas + noise / 3 * torch.randn(deltas.shape, generator=generator)


def score_oracle(dataset: CocoDataset, ways: Mapping[str, Postprocess]) -> dict[str, dict[str, float]]:
    """Let a head that knows the ground truth predict, and score what each way of post-processing makes of it.

    Args:
        dataset: its images aren't read, only their sizes and the ground truth.
        ways: name → a `postprocess`, right or wrong.

    Returns:
        COCO's numbers for each way.
    """
    scores = {name: score(_results(dataset, way), dataset) for name, way in ways.items()}
    print(f"{'':24} AP50     AP")
    for name, numbers in scores.items():
        print(f"{name:24} {numbers['AP50']:.2f}   {numbers['AP']:.2f}")
    print(short_form(), end="")
    return scores


def _results(dataset: CocoDataset, way: Postprocess) -> list[Result]:
    detections = [_detect(dataset, index, way) for index in range(len(dataset))]
    return to_coco_results(detections, dataset.image_ids, dataset.category_ids)


def _detect(dataset: CocoDataset, index: int, way: Postprocess) -> Detection:
    target, (height, width) = dataset.target(index), dataset.size(index)
    near = around(target, PER_OBJECT, SPREAD, seed=index)
    corner = (
        torch.rand(BACKGROUND, 2, generator=torch.Generator().manual_seed(index)) * torch.tensor([width, height]) * 0.7
    )
    nothing = torch.cat([corner, corner + 25], 1)
    background = nothing, torch.zeros(BACKGROUND, dtype=torch.int64), nothing
    rois, labels, boxes = (torch.cat(parts) for parts in zip(near, background, strict=True))
    return way(*know(rois, labels, boxes, len(dataset.classes)), rois, (height, width))
