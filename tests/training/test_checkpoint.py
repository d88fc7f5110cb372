import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.training import Checkpoints, Hook, TrainConfig, train
from coursekit.training.checkpoint import LAST, load_checkpoint, read_checkpoint, save_checkpoint
from coursekit.training.state import begin

QUICK = TrainConfig(epochs=3, batch_size=2, checkpoint_every=1)


def _state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class StopAt(Hook):
    def __init__(self, step):
        self.step = step

    def after_step(self, run):
        run.stopped = run.steps == self.step


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_stopped_run_goes_on_to_the_same_weights(coco_folder, tiny_detector, tmp_path, step):
    dataset, start = load(coco_folder, "train"), _state(tiny_detector)
    whole = train(tiny_detector, dataset, QUICK)
    end = _state(tiny_detector)
    tiny_detector.load_state_dict(start)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector, dataset, QUICK, hooks=[Checkpoints(tmp_path), StopAt(step)])
    tiny_detector.load_state_dict(start)  # whatever is in memory, the file decides
    again = train(tiny_detector, dataset, QUICK, resume=tmp_path / LAST)
    assert all(torch.equal(value, end[name]) for name, value in _state(tiny_detector).items())
    assert [(one.step, one.loss, one.lr) for one in again] == [(one.step, one.loss, one.lr) for one in whole]


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.training import Checkpoints, Hook, TrainConfig, train
import coursekit.training.checkpoint as checkpoint

data, out, step, moment = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

class Killer(Hook):
    def before_step(self, run):
        if (run.steps, moment) == (step, "before"): die()
    def after_step(self, run):
        if (run.steps, moment) == (step, "after"): die()

save, calls = torch.save, []
def half(content, path):
    save(content, path)
    calls.append(path)
    if moment == "writing" and len(calls) == step:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: len(data) // 2])
        die()
checkpoint.torch.save = half

torch.manual_seed(0)
model = build_detector(num_classes=2, size=64, channels=16, hidden=16, pretrained=False)
resume = out / checkpoint.LAST if (out / checkpoint.LAST).exists() else None
config = TrainConfig(epochs=3, batch_size=2, checkpoint_every=2)
train(model, load(data, "train"), config, hooks=[Killer(), Checkpoints(out)], resume=resume)
torch.save = save
save(model.state_dict(), out / "end.pt")
"""


def _run(data, out, step=-1, moment="never"):
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", KILLED, str(data), str(out), str(step), moment]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "2"}
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_any_moment_it_ends_with_the_same_bits(coco_folder, tmp_path, kills):
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
    run = begin(tiny_detector, load(coco_folder, "train"), QUICK, torch.device("cpu"), lambda: "")
    save_checkpoint(tmp_path / LAST, run)
    return run, tmp_path / LAST


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>", lambda b: b[:-2]])
def test_a_damaged_checkpoint_is_named(saved, damage):
    run, path = saved
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"last\.pt: (cut|not one)"):
        load_checkpoint(path, run)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_nothing_in_a_foreign_file_is_executed(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, path = saved
    for write in (lambda: path.write_bytes(pickle.dumps(Evil())), lambda: torch.save({"model": Evil()}, path)):
        write()
        with pytest.raises(DataError, match="not one of our checkpoints"):
            load_checkpoint(path, run)
    assert not Path("executed").exists()


def test_somebody_elses_weights_are_no_checkpoint(saved):
    run, path = saved
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="not one of our checkpoints"):
        load_checkpoint(path, run)


def test_another_model_and_other_settings_are_refused(saved, coco_folder):
    from coursekit.detector import build_detector

    _, path = saved
    dataset, device = load(coco_folder, "train"), torch.device("cpu")
    other = build_detector(num_classes=2, size=64, channels=24, hidden=16, pretrained=False)
    with pytest.raises(ConfigError, match="of another model"):
        load_checkpoint(path, begin(other, dataset, QUICK, device, lambda: ""))
    longer = TrainConfig(epochs=9, batch_size=2, checkpoint_every=1)
    with pytest.raises(ConfigError, match="epochs 3 there, 9 here"):
        load_checkpoint(path, begin(other, dataset, longer, device, lambda: ""))


def test_a_full_disk_leaves_the_former_checkpoint(saved, monkeypatch):
    run, path = saved
    before = path.read_bytes()

    def full(_, partial):
        Path(partial).write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError, match=r"can't be written.*Make room.*still there"):
        save_checkpoint(path, run)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".pt"] == [LAST]


def test_none_there_is_told(tmp_path):
    with pytest.raises(DataError, match="Start without --resume"):
        read_checkpoint(tmp_path / LAST)
