"""Watch a detector learn: what it finds in one scene, at some steps of its training. Lesson 00 does so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.data.boxes import Target
from coursekit.evaluation import Detection, predict, predict_dataset, score, to_coco_results
from coursekit.evaluation.results import Result
from coursekit.lessons.experiments.lesson07_run import stand_in
from coursekit.training import Hook, Run

Iou = Callable[[Tensor, Tensor], Tensor]
CONFIDENT, CLOSE = 0.3, 0.5  # lowest score that is drawn; IoU from which an object counts as found
TOO_LOW = 0.1  # an AP50 below this makes an empty picture


@dataclass
class Watch(Hook):
    """Hook that asks a detector what it finds in one scene: before the training, after some steps, and at the end.

    Args:
        scene: (3, H, W) uint8, and not one of those trained on.
        steps: after which steps to ask.

    Attributes:
        frames: number of steps → the detection then.
    """

    scene: Tensor
    steps: Iterable[int]
    frames: dict[int, Detection] = field(default_factory=dict)

    def before_run(self, run: Run) -> None:
        """Ask before the first step."""
        self._ask(run)

    def after_step(self, run: Run) -> None:
        """Ask after the chosen steps."""
        if run.steps in self.steps:
            self._ask(run)

    def after_run(self, run: Run) -> None:
        """Ask at the end."""
        self._ask(run)

    def _ask(self, run: Run) -> None:
        if run.steps not in self.frames:
            self.frames[run.steps] = predict(run.model, [self.scene])[0]


def forward_cost(model: nn.Module, scene: Tensor) -> float:
    """Return how many operations a detector needs for one image, (3, H, W) uint8, and print it."""
    with FlopCounterMode(display=False) as counter:
        predict(model, [scene])
    operations = counter.get_total_flops()
    print(f"one image takes {operations / 1e9:.1f} billion operations")
    return operations


def found_by_step(watch: Watch, target: Target, box_iou: Iou, guess: int | None = None) -> None:
    """Print how many boxes there are after each number of steps, and how many objects they find.

    Args:
        watch: after the training.
        target: ground truth of its scene.
        box_iou: the function to use, such as your own.
        guess: after how many steps the reader expects the first object; it is printed beside the answer.
    """
    successes: list[int] = []
    print(f"steps   boxes   found of {len(target['boxes'])} objects")
    for step, detection in sorted(watch.frames.items()):
        confident = detection["scores"] >= CONFIDENT
        found = int((best_iou(detection, target, box_iou) >= CLOSE).sum())
        print(f"{step:5}   {int(confident.sum()):5}   {found:5}")
        successes += [step] if found else []
    first = f"an object found by step {successes[0]}" if successes else "no object found"
    print("" if guess is None else f"{first}; you guessed step {guess}\n", end="")


def best_iou(detection: Detection, target: Target, box_iou: Iou) -> Tensor:
    """Return (N,) for each of N objects the IoU with the best box of its class with a score of 0.3 or more, or 0."""
    confident = detection["scores"] >= CONFIDENT
    boxes, labels = detection["boxes"][confident], detection["labels"][confident]
    if not len(boxes):
        return torch.zeros(len(target["boxes"]))
    iou = box_iou(target["boxes"], boxes)
    return torch.where(target["labels"][:, None] == labels, iou, 0).amax(1)


def explore_steps(watch: Watch, target: Target, classes: list[str]) -> Any:
    """Show ground truth and predictions of the watched scene, with a slider for the number of steps, from 0."""

    def draw(steps: int) -> tuple[Figure, str]:
        detection = watch.frames[steps]
        pairs = [(watch.scene, target, detection)]
        fig = show.draw_ground_truth_and_predictions(pairs, classes, threshold=CONFIDENT)
        fig.suptitle(f"after {steps} steps", fontsize=10)
        count = int((detection["scores"] >= CONFIDENT).sum())
        return fig, f"A scene with its ground truth, and with the {count} boxes predicted after {steps} steps."

    return show.explore(draw, steps=(sorted(watch.frames), min(watch.frames)))


def show_detections(model: nn.Module, image: Tensor, classes: list[str]) -> None:
    """Show an image, (3, H, W) uint8, with the boxes that a detector gives a score of 0.3 or more."""
    detection = predict(model, [image])[0]
    confident = detection["scores"] >= CONFIDENT
    labels, scores = detection["labels"][confident].tolist(), detection["scores"][confident].tolist()
    names = [f"{classes[label - 1]} {value:.2f}" for label, value in zip(labels, scores, strict=True)]
    panels = {f"{len(names)} boxes with a score of {CONFIDENT} or more": (image, detection["boxes"][confident], names)}
    show.image_row(panels, "A scene with the boxes that the detector finds in it.")


def results_to_look_at(model: nn.Module, dataset: CocoDataset) -> list[Result]:
    """Return the detections in all images of a data set, in COCO's format.

    If they are next to nothing, as after the short training in CI, return those of a stand-in, and say so.
    """
    results = predict_dataset(model, dataset)
    ap50 = score(results, dataset)["AP50"]
    if ap50 >= TOO_LOW:
        return results
    print(f"This detector finds next to nothing yet (AP50 {ap50:.2f}), so we look at a stand-in: the ground truth,")
    print("with boxes moved, missing, added, and given the wrong class.")
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids)
