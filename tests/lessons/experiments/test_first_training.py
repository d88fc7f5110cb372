from types import SimpleNamespace

import pytest
import torch
from torch import nn

from coursekit.data import load
from coursekit.detector import box_iou
from coursekit.lessons.experiments.first_training import (
    Watch,
    best_iou,
    explore_steps,
    forward_cost,
    found_by_step,
    results_to_look_at,
)

SCENE = torch.zeros(3, 60, 80, dtype=torch.uint8)
TARGET = {"boxes": torch.tensor([[0.0, 0, 20, 20], [40.0, 20, 60, 40]]), "labels": torch.tensor([1, 2])}


class Finds(nn.Module):
    """A detector that finds its boxes in every image."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.found = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels).long()}
        self.found |= {"scores": torch.tensor(scores)}

    def forward(self, images):
        return [self.found for _ in images]


NOTHING = Finds([], [], [])
FIRST = Finds([[0.0, 0, 20, 18], [40.0, 20, 60, 40], [0.0, 0, 20, 20]], [1, 1, 1], [0.9, 0.8, 0.2])


def _watched():
    watch = Watch(SCENE, steps=(2,))
    run = SimpleNamespace(steps=0, model=NOTHING)
    watch.before_run(run)
    for run.steps in (1, 2, 3):
        run.model = FIRST
        watch.after_step(run)
    watch.after_run(run)
    return watch


def test_a_scene_is_watched_before_at_some_steps_and_at_the_end():
    watch = _watched()
    assert {step: len(frame["boxes"]) for step, frame in watch.frames.items()} == {0: 0, 2: 3, 3: 3}


def test_an_object_is_found_by_a_confident_box_of_its_class():
    assert best_iou(FIRST.found, TARGET, box_iou).tolist() == [pytest.approx(0.9), 0]
    assert best_iou(NOTHING.found, TARGET, box_iou).tolist() == [0, 0]


def test_the_table_uses_your_function(capsys):
    found_by_step(_watched(), TARGET, box_iou)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["steps", "boxes", "found", "of", "2", "objects"],
        ["0", "0", "0"],
        ["2", "2", "1"],
        ["3", "2", "1"],
    ]
    found_by_step(_watched(), TARGET, lambda first, second: torch.zeros(len(first), len(second)))
    assert capsys.readouterr().out.splitlines()[-1].split() == ["3", "2", "0"]


def test_the_table_ends_with_the_readers_guess(capsys):
    found_by_step(_watched(), TARGET, box_iou, guess=50)
    assert capsys.readouterr().out.splitlines()[-1] == "an object found by step 2; you guessed step 50"
    nowhere = {"boxes": TARGET["boxes"] + 100, "labels": TARGET["labels"]}
    found_by_step(_watched(), nowhere, box_iou, guess=50)
    assert capsys.readouterr().out.splitlines()[-1] == "no object found; you guessed step 50"


def test_the_slider_goes_over_the_steps():
    slider, picture = explore_steps(_watched(), TARGET, ["dog", "cat"]).children
    assert "0 boxes predicted after 0 steps" in picture.value
    slider.value = 3
    assert "2 boxes predicted after 3 steps" in picture.value


def test_the_cost_of_an_image_grows_with_it(tiny_detector, capsys):
    small = forward_cost(tiny_detector, SCENE)
    tiny_detector.options = type(tiny_detector.options)(
        **vars(tiny_detector.options) | {"min_size": 128, "max_size": 128}
    )
    assert forward_cost(tiny_detector, SCENE) > 2 * small
    assert "billion operations" in capsys.readouterr().out


def test_a_detector_that_finds_nothing_is_replaced_and_one_that_finds_much_is_not(capsys):
    dataset = load("mini", "val").head(4)
    assert len(results_to_look_at(NOTHING, dataset)) > 5
    assert "finds next to nothing yet (AP50 0.00), so we look at a stand-in" in capsys.readouterr().out

    class Knows(nn.Module):
        """A detector that has memorized the images, which come in order."""

        def forward(self, images):
            targets = [target for image in images for other, target in dataset if torch.equal(other / 255, image)]
            pairs = [(target["boxes"], target["labels"]) for target in targets]
            return [{"boxes": boxes, "labels": labels, "scores": torch.ones(len(boxes))} for boxes, labels in pairs]

    assert len(results_to_look_at(Knows(), dataset)) == sum(len(target["boxes"]) for _, target in dataset)
    assert capsys.readouterr().out == ""
