"""On a GPU, the results of a step are read while the next one runs. Here the CPU runs as a GPU would."""

import json
import math

import pytest
import torch
from torch import nn

from coursekit.core.device import as_on_gpu
from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.training import Checkpoints, Evaluate, Hook, Log, TrainConfig, train
from coursekit.training.checkpoint import LAST, read_checkpoint
from coursekit.training.step_losses import StepLosses

FP32 = {"precision": "fp32", "batch_size": 1, "checkpoint_every": 100}


class Diverging(nn.Module):
    """A model whose loss is bad in a step, counted from 1. Its gradient is finite in all of them."""

    def __init__(self, bad_step, value=math.nan):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.bad_step, self.value, self.calls, self.weights = bad_step, value, 0, []

    def forward(self, images, targets):
        self.calls += 1
        self.weights.append(self.weight.tolist())
        constant = self.value if self.calls == self.bad_step else 0.0
        return {"loss_good": self.weight.square().sum(), "loss_bad": self.weight.sum() + constant}


class Watch(Hook):
    """Record how many steps were launched and how many are in the history, after each step."""

    def __init__(self):
        self.seen = []

    def before_run(self, run):
        self.run = run

    def after_step(self, run):
        self.seen.append((run.steps, len(run.history)))


@pytest.fixture
def data(coco_folder):
    return load(coco_folder, "train")


@pytest.fixture
def as_gpu():
    with as_on_gpu():
        yield


def test_results_are_read_a_step_late_but_before_the_end_of_an_epoch(data, as_gpu):
    watch = Watch()
    history = train(Diverging(0), data, TrainConfig(epochs=2, **FP32), hooks=[watch])
    assert watch.seen == [(1, 0), (2, 1), (3, 3), (4, 3), (5, 4), (6, 6)]
    assert [step.step for step in history] == [1, 2, 3, 4, 5, 6]
    assert [step.epoch for step in history] == [0, 0, 0, 1, 1, 1]
    assert [step.images for step in history] == [1, 2, 3, 4, 5, 6]


def test_the_history_is_that_of_a_cpu(data):
    options = TrainConfig(epochs=2, **FP32)
    expected = train(Diverging(0), data, options)
    with as_on_gpu():
        late = train(Diverging(0), data, options)
    numbers = [(step.step, step.loss, step.losses, step.lr, step.images) for step in expected]
    assert [(step.step, step.loss, step.losses, step.lr, step.images) for step in late] == numbers
    assert all(first.seconds < second.seconds for first, second in zip(late, late[1:], strict=False))
    assert all(sum(step.phases.values()) > 0 for step in late)


def test_results_are_read_before_each_checkpoint(data, as_gpu):
    watch = Watch()
    train(Diverging(0), data, TrainConfig(epochs=1, **FP32 | {"checkpoint_every": 2}), hooks=[watch])
    assert watch.seen == [(1, 0), (2, 2), (3, 3)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("on_gpu", "calls"), [(False, 2), (True, 3)])
def test_the_run_stops_with_the_weights_from_before_the_bad_step(data, tmp_path, on_gpu, calls, value, optimizer):
    model, watch = Diverging(2, value), Watch()
    hooks = [watch, Checkpoints(tmp_path)]
    config = TrainConfig(epochs=3, optimizer=optimizer, **FP32)
    with as_on_gpu() if on_gpu else torch.enable_grad(), pytest.raises(CourseError) as stopped:
        train(model, data, config, hooks=hooks)
    assert str(stopped.value).startswith(f"The loss is NaN or infinite (loss_bad = {value}) on the images ")
    assert model.calls == calls  # on a GPU, one more step was launched; it changed nothing
    assert model.weights[0] != model.weights[1]
    assert model.weight.tolist() == model.weights[1]
    assert watch.run.steps == len(watch.run.history) == 1
    saved = read_checkpoint(tmp_path / LAST)
    assert saved["model"]["weight"].tolist() == model.weights[1]
    assert (saved["numbers"]["steps"], saved["numbers"]["batch"], saved["numbers"]["images"]) == (1, 1, 1)
    if optimizer == "adamw":
        assert saved["optimizer"]["state"][0]["step"] == 1


def test_a_bad_last_step_is_found_at_the_end(data, as_gpu):
    model = Diverging(3)
    with pytest.raises(CourseError, match="loss_bad"):
        train(model, data, TrainConfig(epochs=1, **FP32))
    assert model.weight.tolist() == model.weights[2]


def test_an_error_in_the_next_step_does_not_hide_a_finished_one(data, as_gpu, tmp_path):
    class Fails(Hook):
        def before_step(self, run):
            if run.steps == 2:
                raise OSError("the disk is gone")

    log = Log(tmp_path)
    with pytest.raises(OSError, match="the disk is gone"):
        train(Diverging(0), data, TrainConfig(epochs=1, **FP32), hooks=[log, Fails(), Checkpoints(tmp_path)])
    assert read_checkpoint(tmp_path / LAST)["numbers"]["steps"] == 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]


def test_the_log_is_in_order(data, as_gpu, tmp_path):
    log = Log(tmp_path)
    evaluate = Evaluate(lambda _: {"AP": 0.5}, log)
    train(Diverging(0), data, TrainConfig(epochs=2, **FP32), hooks=[log, evaluate])
    _, *lines, _ = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], "AP" in line) for line in lines] == [
        (1, False), (2, False), (3, False), (3, True), (4, False), (5, False), (6, False), (6, True),
    ]  # fmt: skip
    assert all(set(line["phases"]) == {"data", "copy", "forward", "backward", "optimizer"} for line in lines[:3])


def test_nothing_is_read_between_launch_and_the_next_launch(data, as_gpu, monkeypatch):
    order = []
    send, read, forward = StepLosses.send, StepLosses.read, Diverging.forward
    monkeypatch.setattr(StepLosses, "send", lambda self: order.append("send") or send(self))
    monkeypatch.setattr(StepLosses, "read", lambda self: order.append("read") or read(self))
    monkeypatch.setattr(Diverging, "forward", lambda *args: order.append("launch") or forward(*args))
    train(Diverging(0), data, TrainConfig(epochs=1, **FP32))
    assert order == ["launch", "send", "launch", "send", "read", "launch", "send", "read", "read"]


class InfiniteGradient(nn.Module):
    """A model with a finite loss and, in its first step, a gradient that is infinite in fp16."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.ones(2)), 0

    def forward(self, images, targets):
        self.calls += 1
        return {"loss": self.weight.sum() * (1e36 if self.calls == 1 else 1.0)}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_in_fp16_an_infinite_gradient_skips_a_step_and_a_bad_loss_stops(data, as_gpu, optimizer):
    config = TrainConfig(epochs=1, optimizer=optimizer, **FP32 | {"precision": "fp16"})
    watch, model = Watch(), InfiniteGradient()
    assert len(train(model, data, config, hooks=[watch])) == 3
    assert watch.run.scaler.get_scale() == 2**15  # halved once
    assert all(math.isfinite(value) and value != 1.0 for value in model.weight.tolist())
    if optimizer == "adamw":
        assert watch.run.optimizer.state[model.weight]["step"] == 2
    diverging = Diverging(2)
    with pytest.raises(CourseError, match="loss_bad"):
        train(diverging, data, config)
    assert diverging.weight.tolist() == diverging.weights[1]
