"""Chosen images of a data set, with ground truth and predictions next to each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import xywh_to_xyxy
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.results import Result
from coursekit.show.boxes import draw_boxes


def draw_ground_truth_and_predictions(
    pairs: Sequence[tuple[Tensor, Any, Any]], classes: Sequence[str], *, threshold: float = 0.5, columns: int = 2
) -> Figure:
    """Return a grid in which each image appears twice, on the left with ground truth, on the right with predictions.

    Args:
        pairs: image (3, H, W) uint8, target, detection; both with `boxes` (N, 4) xyxy and `labels` (N,), the detection
            with `scores` (N,).
        classes: name of label 1, of label 2, and so on.
        threshold: the lowest score to draw.
        columns: images in a row. With 1, they are larger, so that the names of many boxes cover each other less.
    """
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (5.6 * columns, 2.25 * rows) if columns > 1 or rows == 1 else (9.0, 3.5 * rows)
    fig = Figure(figsize=size, layout="constrained")
    grid = np.atleast_2d(fig.subplots(rows, 2 * columns))
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (image, target, detection) in enumerate(pairs):
        left, right = grid[number // columns, 2 * (number % columns) : 2 * (number % columns) + 2]
        names = [classes[label - 1] for label in target["labels"].tolist()]
        draw_boxes(left, image, target["boxes"], names, title="ground truth", hatched=target.get("crowd_boxes"))
        _draw_predictions(right, image, detection, classes, threshold)
    return fig


def _draw_predictions(axes: Axes, image: Tensor, detection: Any, classes: Sequence[str], threshold: float) -> None:
    confident = detection["scores"] >= threshold
    scored = zip(detection["labels"][confident].tolist(), detection["scores"][confident].tolist(), strict=True)
    texts = [f"{classes[label - 1]} {score:.2f}" for label, score in scored]
    title = f"prediction, score ≥ {threshold:g}"
    draw_boxes(axes, image, detection["boxes"][confident], texts, title=title, dashed=True)


def gallery(
    dataset: CocoDataset,
    results: Sequence[Result],
    image_ids: Sequence[int],
    *,
    threshold: float = 0.5,
    columns: int = 2,
) -> Figure:
    """Draw ground truth and predictions of chosen images, such as those of `worst_images`.

    Args:
        dataset: has the images and the ground truth.
        results: detections in COCO's format; those of other images are skipped.
        image_ids: which images, in this order.
        threshold: the lowest score to draw.
        columns: images in a row.

    Raises:
        ConfigError: there is no image, or one that the data set doesn't have.
    """
    positions = {image_id: position for position, image_id in enumerate(dataset.image_ids)}
    unknown = [image_id for image_id in image_ids if image_id not in positions]
    if unknown or not image_ids:
        what = f"image {unknown[0]} is not in {dataset.annotation_file}" if unknown else "no image to show"
        raise ConfigError(f"image_ids: {what}. Use ids from `dataset.image_ids`.")
    pairs = [(*dataset[positions[image_id]], _detection(dataset, results, image_id)) for image_id in image_ids]
    fig = draw_ground_truth_and_predictions(pairs, dataset.classes, threshold=threshold, columns=columns)
    for axes, image_id in zip(fig.axes[::2], image_ids, strict=False):
        axes.set_title(f"image {image_id}: ground truth", fontsize=9)
    return fig


def readable(dataset: CocoDataset, image_ids: Sequence[int], count: int) -> list[int]:
    """Return the first `count` of these image ids whose image is there and can be read."""
    positions = {image_id: position for position, image_id in enumerate(dataset.image_ids)}
    ids = dataset.image_ids
    return [ids[position] for position in dataset.readable((positions[image_id] for image_id in image_ids), count)]


def _detection(dataset: CocoDataset, results: Sequence[Result], image_id: int) -> dict[str, Tensor]:
    """Return the detections of one image, as a detector gives them: boxes (N, 4) xyxy, labels (N,), scores (N,)."""
    labels = {id_: label for label, id_ in enumerate(dataset.category_ids, 1)}
    results = [result for result in results if result["image_id"] == image_id]
    boxes = torch.tensor([result["bbox"] for result in results], dtype=torch.float32).reshape(-1, 4)
    return {
        "boxes": xywh_to_xyxy(boxes),
        "labels": torch.tensor([labels[result["category_id"]] for result in results], dtype=torch.int64),
        "scores": torch.tensor([result["score"] for result in results], dtype=torch.float32),
    }
