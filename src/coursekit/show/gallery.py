"""Chosen images of a data set, with ground truth and predictions next to each other."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.core.errors import ConfigError
from coursekit.data.boxes import xywh_to_xyxy
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.results import Result
from coursekit.show.boxes import draw_ground_truth_and_predictions


def gallery(
    dataset: CocoDataset, results: Sequence[Result], image_ids: Sequence[int], *, threshold: float = 0.5
) -> Figure:
    """Draw ground truth and predictions of chosen images, such as those of `worst_images`.

    Args:
        dataset: has the images and the ground truth.
        results: detections in COCO's format; those of other images are skipped.
        image_ids: which images, in this order.
        threshold: the lowest score to draw.

    Raises:
        ConfigError: there is no image, or one that the data set doesn't have.
    """
    positions = {image_id: position for position, image_id in enumerate(dataset.image_ids)}
    unknown = [image_id for image_id in image_ids if image_id not in positions]
    if unknown or not image_ids:
        what = f"image {unknown[0]} is not in {dataset.annotation_file}" if unknown else "no image to show"
        raise ConfigError(f"image_ids: {what}. Use ids from `dataset.image_ids`.")
    pairs = [(*dataset[positions[image_id]], _detection(dataset, results, image_id)) for image_id in image_ids]
    fig = draw_ground_truth_and_predictions(pairs, dataset.classes, threshold=threshold)
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
