"""Pictures that a run leaves in a folder."""

from pathlib import Path

from coursekit.core.files import make_folder
from coursekit.data import CocoDataset
from coursekit.evaluation import Result, Scores
from coursekit.evaluation.errors import confusion_matrix, split_errors, worst_images
from coursekit.show import loss_curves, save
from coursekit.show.error_pictures import confusion_picture, curves_picture, error_bars, gallery
from coursekit.training import Step


def write_curves(out: Path, history: list[Step]) -> None:
    """Write curves.png: the losses and the learning rate."""
    losses = {name: [step.losses[name] for step in history] for name in history[0].losses}
    save(loss_curves([step.step for step in history], losses, [step.lr for step in history]), out / "curves.png")


def draw_gallery(folder: Path, results: list[Result], dataset: CocoDataset, scores: Scores, images: int = 8) -> None:
    """Pictures of what went wrong: errors.png, confusion.png, curves.png and, where the images are here, worst.png.

    Raises:
        ConfigError: the folder can't be written to.
    """
    make_folder(folder)
    save(error_bars(split_errors(results, dataset)), folder / "errors.png")
    save(confusion_picture(confusion_matrix(results, dataset), dataset.classes), folder / "confusion.png")
    save(curves_picture(scores.curves), folder / "curves.png")
    worst = [one.image_id for one in worst_images(results, dataset, images)]
    if worst and dataset.image_folder.is_dir():
        save(gallery(dataset, results, worst), folder / "worst.png")
