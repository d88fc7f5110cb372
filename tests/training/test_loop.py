import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from coursekit.core.errors import ConfigError, CourseError
from coursekit.data import load
from coursekit.training import Hook, TrainConfig, train


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(coco_folder, tiny_detector):
    dataset = load(coco_folder, "train")
    state = {name: value.clone() for name, value in tiny_detector.state_dict().items()}
    runs = []
    for _ in range(2):
        tiny_detector.load_state_dict(state)
        train(tiny_detector, dataset, TrainConfig(epochs=2, batch_size=2, precision="fp32"))
        runs.append({name: value.clone() for name, value in tiny_detector.state_dict().items()})
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in state)
    assert any(not torch.equal(runs[0][name], state[name]) for name in state)


def test_history_counts_steps_and_images(coco_folder, tiny_detector):
    history = train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=2, batch_size=2))
    assert [step.step for step in history] == [1, 2, 3, 4]
    assert history[-1].images == 6
    assert all(math.isclose(step.loss, sum(step.losses.values())) for step in history)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": -1.0},
        {"lr": math.nan},
        {"lr": math.inf},
        {"micro_batch": 0},
        {"optimizer": "adam"},
        {"precision": "int8"},
        {"workers": -1},
        {"weight_decay": -1e-4},
    ],
)
def test_bad_options_are_named(coco_folder, tiny_detector, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        train(tiny_detector, load(coco_folder, "train"), TrainConfig(**options))


class Diverging(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, images, targets):
        return {"loss_good": self.weight.sum(), "loss_bad": self.weight.sum() * math.nan}


def test_a_nan_loss_is_named_and_the_weights_stay(coco_folder):
    model = Diverging()
    with pytest.raises(CourseError, match=r"loss_bad = nan\) on the images \d+"):
        train(model, load(coco_folder, "train"), TrainConfig(batch_size=1))
    assert model.weight.tolist() == [1, 1]


class Recorder(Hook):
    def __init__(self):
        self.seen = []

    def before_run(self, run):
        self.seen.append("before_run")

    def before_step(self, run):
        self.seen.append(f"before {run.steps}")

    def after_step(self, run):
        self.seen.append(f"after {run.steps}")

    def after_run(self, run):
        self.seen.append("after_run")


def test_hooks_have_four_moments(coco_folder, tiny_detector):
    recorder = Recorder()
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=1, batch_size=2), hooks=[recorder])
    assert recorder.seen == ["before_run", "before 0", "after 1", "before 1", "after 2", "after_run"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_after_its_step_and_all_hooks(coco_folder, tiny_detector, number):
    class Interrupt(Hook):
        def before_step(self, run):
            os.kill(os.getpid(), number)

    recorder = Recorder()
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector, load(coco_folder, "train"), TrainConfig(batch_size=2), hooks=[Interrupt(), recorder])
    assert recorder.seen == ["before_run", "before 0", "after 1", "after_run"]
    assert signal.getsignal(number) is before


def test_an_error_in_one_hook_does_not_stop_the_others(coco_folder, tiny_detector):
    class Fails(Hook):
        def after_run(self, run):
            raise OSError("disk full")

    first, last = Recorder(), Recorder()
    with pytest.raises(OSError, match="disk full"):
        train(
            tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=1, batch_size=3), hooks=[first, Fails(), last]
        )
    assert first.seen[-1] == last.seen[-1] == "after_run"


def test_the_loop_stays_short_enough_to_read_aloud():
    lines = Path(train.__code__.co_filename).read_text().splitlines()
    assert len(lines) <= 150
