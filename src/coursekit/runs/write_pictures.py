"""The pictures that a run leaves in a folder."""

import math
from pathlib import Path

from coursekit.core.files import make_folder
from coursekit.data import CocoDataset
from coursekit.evaluation import Result, Scores
from coursekit.evaluation.error_analysis import confusion_matrix, split_errors, worst_images
from coursekit.show import loss_curves, save
from coursekit.show.error_pictures import confusion_picture, error_bars
from coursekit.show.gallery import gallery, readable
from coursekit.show.precision_recall import precision_recall_curves
from coursekit.training import Step


def write_curves(out: Path, history: list[Step]) -> None:
    """Write curves.png: the losses and the learning rate."""
    losses = {name: [step.losses.get(name, math.nan) for step in history] for name in history[-1].losses}
    save(loss_curves([step.step for step in history], losses, [step.lr for step in history]), out / "curves.png")


def draw_gallery(folder: Path, results: list[Result], dataset: CocoDataset, scores: Scores, images: int = 8) -> None:
    """Draw what went wrong: errors.png, confusion.png, curves.png and, if the images are available, worst.png.

    Raises:
        ConfigError: the folder can't be written to.
    """
    make_folder(folder)
    save(error_bars(split_errors(results, dataset)), folder / "errors.png")
    save(confusion_picture(confusion_matrix(results, dataset), dataset.classes), folder / "confusion.png")
    save(precision_recall_curves(scores.curves), folder / "curves.png")
    worst = [image.image_id for image in worst_images(results, dataset, len(dataset))]
    if shown := readable(dataset, worst, images):
        save(gallery(dataset, results, shown), folder / "worst.png")
