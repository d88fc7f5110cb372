import os
import pickle
import random
import signal
from pathlib import Path

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.training import Checkpoints, Hook, TrainConfig, train
from coursekit.training.checkpoint import LAST, load_checkpoint, read_checkpoint, save_checkpoint
from coursekit.training.state import start_run
from tests.forked import run_forked

QUICK = TrainConfig(epochs=3, batch_size=2, checkpoint_every=1, precision="fp32")


def _state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class StopAt(Hook):
    def __init__(self, step):
        self.step = step

    def after_step(self, run):
        run.stopped = run.steps == self.step


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_resumed_run_ends_with_the_same_weights(coco_folder, tiny_detector, tmp_path, step):
    dataset, start = load(coco_folder, "train"), _state(tiny_detector)
    whole = train(tiny_detector, dataset, QUICK)
    end = _state(tiny_detector)
    tiny_detector.load_state_dict(start)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector, dataset, QUICK, hooks=[Checkpoints(tmp_path), StopAt(step)])
    tiny_detector.load_state_dict(start)  # the checkpoint decides, whatever is in memory
    resumed = train(tiny_detector, dataset, QUICK, resume=tmp_path / LAST)
    assert all(torch.equal(value, end[name]) for name, value in _state(tiny_detector).items())
    assert [(step.step, step.loss, step.lr) for step in resumed] == [(step.step, step.loss, step.lr) for step in whole]


class Killer(Hook):
    """Kill this process before a step, after it, or while its checkpoint is written."""

    def __init__(self, step, moment):
        self.step, self.moment, self.writes = step, moment, 0

    def before_step(self, run):
        self._kill_if(run.steps, "before")

    def after_step(self, run):
        self._kill_if(run.steps, "after")

    def write(self, content, path):
        """Replace torch.save: write only half of one checkpoint, then kill the process."""
        SAVE(content, path)
        self.writes += 1
        if self.moment == "writing" and self.writes == self.step:
            data = Path(path).read_bytes()
            Path(path).write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    def _kill_if(self, step, moment):
        if (step, moment) == (self.step, self.moment):
            os.kill(os.getpid(), signal.SIGKILL)


SAVE = torch.save


def _train(data, out, step=-1, moment="never"):
    killer = Killer(step, moment)
    torch.save = killer.write  # this process does nothing else afterward
    torch.manual_seed(0)
    model = build_detector(num_classes=2, size=64, channels=16, hidden=16, pretrained=False)
    config = TrainConfig(epochs=3, batch_size=2, checkpoint_every=2, precision="fp32")
    resume = out / LAST if (out / LAST).exists() else None
    train(model, load(data, "train"), config, hooks=[killer, Checkpoints(out)], resume=resume)
    SAVE(model.state_dict(), out / "end.pt")


def _run(data, out, step=-1, moment="never"):
    out.mkdir(exist_ok=True)
    code = run_forked(out / "log", _train, data, out, step, moment)
    return code, (out / "log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_run_killed_at_any_moment_ends_with_the_same_bits(coco_folder, tmp_path, kills):
    code, errors = _run(coco_folder, tmp_path / "whole")
    assert code == 0, errors
    whole = torch.load(tmp_path / "whole" / "end.pt", weights_only=True)
    draw = random.Random(kills)
    for number in range(kills):
        out = tmp_path / f"killed{number}"
        code, errors = _run(coco_folder, out, draw.randint(1, 5), draw.choice(["before", "after", "writing"]))
        assert code == -signal.SIGKILL, errors
        code, errors = _run(coco_folder, out)
        assert code == 0, errors
        end = torch.load(out / "end.pt", weights_only=True)
        assert all(torch.equal(value, end[name]) for name, value in whole.items())


@pytest.fixture
def saved(coco_folder, tiny_detector, tmp_path):
    run = start_run(tiny_detector, load(coco_folder, "train"), QUICK, torch.device("cpu"), lambda: "")
    save_checkpoint(tmp_path / LAST, run)
    return run, tmp_path / LAST


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>", lambda b: b[:-2]])
def test_a_damaged_checkpoint_is_named(saved, damage):
    run, path = saved
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"last\.pt: (cut off|not one)"):
        load_checkpoint(path, run)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_nothing_in_a_malicious_file_is_executed(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, path = saved
    for write in (lambda: path.write_bytes(pickle.dumps(Evil())), lambda: torch.save({"model": Evil()}, path)):
        write()
        with pytest.raises(DataError, match="not one of our checkpoints"):
            load_checkpoint(path, run)
    assert not Path("executed").exists()


def test_bare_weights_are_not_a_checkpoint(saved):
    run, path = saved
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="not one of our checkpoints"):
        load_checkpoint(path, run)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "older version.*format 1; this version reads 2.*start again"), (3, "newer version.*update the course")],
)
def test_checkpoints_of_another_format_are_refused_in_one_sentence(saved, number, words):
    run, path = saved
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": f"coursekit checkpoint {number}"}, path)
    with pytest.raises(DataError, match=words) as refused:
        load_checkpoint(path, run)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert message.removeprefix(f"{path}").count(".") == 1


def test_another_model_and_other_options_are_refused(saved, coco_folder):
    _, path = saved
    dataset, device = load(coco_folder, "train"), torch.device("cpu")
    other = build_detector(num_classes=2, size=64, channels=24, hidden=16, pretrained=False)
    with pytest.raises(ConfigError, match="belongs to a different model"):
        load_checkpoint(path, start_run(other, dataset, QUICK, device, lambda: ""))
    longer = TrainConfig(epochs=9, batch_size=2, checkpoint_every=1)
    with pytest.raises(ConfigError, match="epochs 3 in the run, 9 now"):
        load_checkpoint(path, start_run(other, dataset, longer, device, lambda: ""))


def test_a_full_disk_leaves_the_previous_checkpoint(saved, monkeypatch):
    run, path = saved
    before = path.read_bytes()

    def full(_, partial):
        Path(partial).write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"can't be written.*Free some disk space.*intact"):
        save_checkpoint(path, run)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".pt"] == [LAST]


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="Start without --resume"):
        read_checkpoint(tmp_path / LAST)
