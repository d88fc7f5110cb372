"""The RoIs that the second stage learns from: those with an object, and those of the background."""

from collections.abc import Sequence

from torch import Tensor

from coursekit.detector.boxes import clip_boxes
from coursekit.show.image_row import image_row

MOST = 12  # RoIs of the background that are drawn


def rois(image: Tensor, boxes: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Show an image twice: with the RoIs that have an object, and with some of the background.

    Args:
        image: (3, H, W) uint8.
        boxes: (R, 4) xyxy in pixels, the RoIs.
        labels: (R,) their labels from 1, or 0 for background.
        classes: the names of the labels from 1.
    """
    boxes = clip_boxes(boxes, (image.shape[1], image.shape[2]))  # so that no name is outside
    objects, background = boxes[labels > 0], boxes[labels == 0]
    names = [classes[label - 1] for label in labels[labels > 0].tolist()]
    drawn = background[:MOST]
    panels = {
        f"{len(objects)} RoIs with an object": (image, objects, names),
        f"{len(background)} RoIs of the background ({len(drawn)} drawn)": (image, drawn, [""] * len(drawn)),
    }
    image_row(panels, "A scene twice, with the RoIs that a sample contains.")
