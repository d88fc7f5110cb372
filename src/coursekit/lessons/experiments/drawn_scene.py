"""What detectors find: in one drawn scene, and in a data set with fewer classes."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.data.read_images import to_tensor
from coursekit.data.synthetic.scene import scene
from coursekit.evaluation import Result, predict, to_coco_results
from coursekit.lessons.experiments.examined_detections import predict_all

LEAST = 0.5  # the lowest score that is drawn


def draw(emoji: str) -> Tensor:
    """Draw a scene with these emojis. Return it, (3, H, W) uint8."""
    return to_tensor(scene(emoji, seed=3).picture)


def show_found(image: Tensor, detectors: Mapping[str, tuple[nn.Module, Sequence[str]]]) -> None:
    """Show what detectors find in a scene, with scores of at least 0.5.

    Args:
        image: (3, H, W) uint8.
        detectors: title → a detector and its classes.
    """
    panels = {title: _panel(image, *both) for title, both in detectors.items()}
    show.image_row(panels, "The scene, and what was found in it.")


def detections_of(detector: nn.Module, trained_on: CocoDataset, dataset: CocoDataset) -> list[Result]:
    """Return what a detector finds in a data set that may have fewer classes; detections of the others are dropped.

    Args:
        detector: trained on the classes of `trained_on`.
        trained_on: has these classes.
        dataset: the images to detect in, and the classes to keep.
    """
    found = to_coco_results(predict_all(detector, dataset), dataset.image_ids, trained_on.category_ids)
    return [record for record in found if record["category_id"] in dataset.category_ids]


def _panel(image: Tensor, detector: nn.Module, classes: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
    found = predict(detector, [image])[0]
    confident = found["scores"] >= LEAST
    labels = zip(found["labels"][confident].tolist(), found["scores"][confident].tolist(), strict=True)
    return image, found["boxes"][confident], [f"{classes[label - 1]} {score:.2f}" for label, score in labels]
