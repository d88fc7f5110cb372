"""The detections that lesson 09 examines, and where they are written."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.files import make_folder, write_text
from coursekit.data import CocoDataset
from coursekit.evaluation import Detection, Result, predict, score, to_coco_results
from coursekit.lessons.experiments.lesson07_run import stand_in

FOLDER = Path("runs") / "09"  # beside the notebooks
LEAST_AP50 = 0.2  # below, there is too little to see
CONFIDENT = 0.3
STAND_IN = "(These are the stand-in's detections, made from the ground truth: no training is behind them.)"


def predict_all(detector: nn.Module, dataset: CocoDataset) -> list[Detection]:
    """Return what a detector finds in each image of a data set, with a progress bar."""
    positions = tqdm(range(len(dataset)), "predicting", unit="img")
    return [predict(detector, [dataset[position][0]])[0] for position in positions]


def examined(detector: nn.Module, dataset: CocoDataset) -> tuple[list[Result], list[Detection]]:
    """Run a detector, and choose the detections to examine.

    Returns:
        The detector's results in COCO's format; and detections to examine, for each image. They are the detector's,
        unless its AP50 is below 0.2: then they are those of a made-up detector, see `stand_in`, and a line says so.
    """
    detections = predict_all(detector, dataset)
    own = to_coco_results(detections, dataset.image_ids, dataset.category_ids)
    ap50 = score(own, dataset)["AP50"]
    if ap50 >= LEAST_AP50:
        return own, detections
    print(f"Your detector finds next to nothing yet (AP50 {ap50:.2f}). So that there is something to see, this lesson")
    print("examines a stand-in up to 9.8: the ground truth with noise, and with errors of each kind.")
    return own, stand_in(dataset)


def who_is_it(own: list[Result], results: list[Result]) -> str:
    """Return a line that says that the examined results are a stand-in's; an empty text if they are the detector's."""
    return "" if results == own else f"{STAND_IN}\n"


def write_twice(detections: Sequence[Detection], dataset: CocoDataset) -> tuple[list[Result], list[Result]]:
    """Return the records of two results files: a right one, and one with labels where category ids belong."""
    labels = range(1, len(dataset.classes) + 1)
    right, wrong = (to_coco_results(detections, dataset.image_ids, ids) for ids in (dataset.category_ids, labels))
    return right, wrong


def fullest(detections: Sequence[Detection]) -> int:
    """Return the position of the image with confident detections of the most classes; of equal ones, the fullest."""

    def fullness(position: int) -> tuple[int, int]:
        labels = detections[position]["labels"][detections[position]["scores"] > CONFIDENT]
        return len(labels.unique()), len(labels)

    return max(range(len(detections)), key=fullness)


def first_object(dataset: CocoDataset, position: int) -> dict[str, Any]:
    """Return COCO's record of an image's first object that is no crowd; an empty one if there is none."""
    records = replace(dataset, rows=dataset.rows[position : position + 1]).ground_truth()["annotations"]
    return next((record for record in records if not record["iscrowd"]), {})


def panel(dataset: CocoDataset, position: int, detection: Detection) -> tuple[Tensor, Detection, list[str]]:
    """Return an image, its confident detections and the names of the classes, as `show.image_row` takes them."""
    confident = detection["scores"] > CONFIDENT
    return dataset[position][0], {name: value[confident] for name, value in detection.items()}, dataset.classes


def write_coco_files(results: list[Result], dataset: CocoDataset) -> tuple[str, str]:
    """Write ground truth and detections as two JSON files, and return the paths of both."""
    make_folder(FOLDER)
    paths = FOLDER / "ground_truth.json", FOLDER / "detections.json"
    for path, content in zip(paths, (dataset.ground_truth(), results), strict=True):
        write_text(path, json.dumps(content))
        print(f"{path.as_posix()}: {path.stat().st_size / 1e6:.2f} MB")
    return str(paths[0]), str(paths[1])
