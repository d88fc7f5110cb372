"""`auto` is measured, and measuring changes nothing."""

import copy

import pytest
import torch
from torch import nn

from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.training import Checkpoints, Hook, TrainConfig, measure_precision, train
from coursekit.training.checkpoint import LAST, load_checkpoint, read_checkpoint
from coursekit.training.measure_precision import settle_precision
from coursekit.training.run_state import start_run


class WithState(nn.Module):
    """A model whose forward pass draws random numbers and changes a buffer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.norm = nn.BatchNorm1d(2)
        self.sizes = []

    def forward(self, images, targets):
        self.sizes.append([tuple(image.shape) for image in images])
        noise = self.norm(torch.rand(4, 2))
        return {"loss": (self.weight * noise).sum()}


@pytest.fixture
def has_bf16(monkeypatch):
    monkeypatch.setattr(measure_precision, "half_precision", lambda device: "bf16")


@pytest.fixture
def measured(monkeypatch, has_bf16):
    """Return a function that sets the seconds of each precision."""

    def measure(**seconds):
        monkeypatch.setattr(measure_precision, "_seconds", lambda run, batch, name: seconds[name])

    return measure


def _start(folder, model, **options):
    config = TrainConfig(batch_size=2, **options)
    return start_run(model, load(folder, "train"), config, torch.device("cpu"), lambda: "")


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen"), [(1.0, 2.0, "fp32"), (2.0, 1.0, "bf16"), (float("inf"), float("inf"), "bf16")]
)
def test_the_faster_precision_is_used(coco_folder, measured, fp32, bf16, chosen):
    measured(fp32=fp32, bf16=bf16)
    run = _start(coco_folder, WithState())
    settle_precision(run)
    assert run.config.precision == run.model.precision == chosen
    assert chosen in run.events[0]


def test_measured_fp16_has_loss_scaling(coco_folder, measured, monkeypatch):
    monkeypatch.setattr(measure_precision, "half_precision", lambda device: "fp16")
    measured(fp32=2.0, fp16=1.0)
    run = _start(coco_folder, WithState())
    settle_precision(run)
    assert run.scaler.is_enabled()


def test_a_device_without_16_bits_and_a_given_precision_are_not_measured(coco_folder, monkeypatch):
    monkeypatch.setattr(measure_precision, "half_precision", lambda device: None)
    for asked, used in (("auto", "fp32"), ("bf16", "bf16")):
        run = _start(coco_folder, WithState(), precision=asked)
        settle_precision(run)
        assert run.config.precision == used
        assert run.model.sizes == run.events == []


def test_measuring_changes_nothing(coco_folder, has_bf16):
    run = _start(coco_folder, WithState(), optimizer="sgd")
    before = copy.deepcopy((run.model.state_dict(), run.optimizer.state_dict(), torch.get_rng_state()))
    settle_precision(run)
    after = run.model.state_dict(), run.optimizer.state_dict(), torch.get_rng_state()
    assert len(run.model.sizes) == 4
    assert set(map(tuple, run.model.sizes)) == {((3, 48, 64), (3, 48, 64))}
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert sum(run.clock.seconds.values()) == 0


def test_a_precision_that_runs_out_of_memory_loses(coco_folder, has_bf16, monkeypatch):
    model = WithState()
    forward = model.forward

    def needs_16_bits(images, targets):
        if not torch.is_autocast_enabled("cpu"):
            raise torch.OutOfMemoryError("out of memory")
        return forward(images, targets)

    monkeypatch.setattr(model, "forward", needs_16_bits)
    run = _start(coco_folder, model)
    settle_precision(run)
    assert run.config.precision == "bf16"
    assert run.micro_batch == 2


class StopAfter(Hook):
    def after_step(self, run):
        run.stopped = True


@pytest.mark.parametrize(("asked", "used"), [("auto", "bf16"), ("fp32", "fp32")])
def test_a_resumed_run_keeps_what_was_measured(coco_folder, measured, tmp_path, asked, used):
    dataset, config = load(coco_folder, "train"), TrainConfig(batch_size=2)
    measured(fp32=2.0, bf16=1.0)
    with pytest.raises(KeyboardInterrupt):
        train(WithState(), dataset, config, hooks=[Checkpoints(tmp_path), StopAfter()])
    assert read_checkpoint(tmp_path / LAST)["config"]["precision"] == "bf16"
    measured(fp32=1.0, bf16=2.0)
    run = _start(coco_folder, WithState(), precision=asked)
    load_checkpoint(tmp_path / LAST, run)
    settle_precision(run)
    assert run.config.precision == used


def test_other_errors_are_not_taken_for_a_lack_of_memory(coco_folder, has_bf16, monkeypatch):
    model = WithState()

    def broken(images, targets):
        raise CourseError("no")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(CourseError, match="no"):
        settle_precision(_start(coco_folder, model))
