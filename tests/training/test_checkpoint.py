import os
import pickle
import random
import signal
import zipfile
from pathlib import Path

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.training import Checkpoints, Hook, TrainConfig, train
from coursekit.training.checkpoint import LAST, load_checkpoint, read_checkpoint, save_checkpoint
from coursekit.training.run_state import start_run
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


def _with(path, *keys_and_value):
    """Write a checkpoint with one value changed; a value of KeyError removes it."""
    *keys, value = keys_and_value
    content = inner = torch.load(path, weights_only=True)
    for key in keys[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    torch.save(content, path)


KEYS = ("config", "numbers", "model", "optimizer", "scaler", "clock", "random", "random_cuda", "history")
NAN = float("nan")
TAMPERED = [
    *((key, KeyError) for key in KEYS),
    *((key, value) for key in KEYS for value in (None, 5, "x", torch.zeros(3), {"a": 1})),
    *(("numbers", name, value) for name in ("epoch", "batch", "steps") for value in (-1, 10**9, 2**70, NAN, "1", True)),
    ("numbers", "seconds", NAN), ("numbers", "best", NAN), ("numbers", "micro_batch", 0),
    ("numbers", "micro_batch", 10**6), ("numbers", "images", KeyError), ("config", "lr", NAN),
    ("config", "epochs", 10**30), ("clock", "data", NAN), ("clock", "data", KeyError), ("history", [{"step": 1}]),
    ("model", "fpn.weight", torch.zeros(1)), ("model", 5, torch.zeros(1)), ("model", "fpn", [1]),
    ("optimizer", "param_groups", [1]), ("optimizer", "param_groups", 0, "params", [0]), ("optimizer", "state", None),
    ("optimizer", "state", {10**6: {}}), ("optimizer", "state", {0: {"step": torch.tensor(NAN)}}),
    ("optimizer", "state", {0: None}), ("random", torch.zeros(9, dtype=torch.uint8)),
    ("random_cuda", [torch.zeros(9)]), ("format", "coursekit checkpoint " + "9" * 6000), ("format", 2),
]  # fmt: skip


@pytest.mark.parametrize("change", TAMPERED, ids=lambda change: "-".join(str(part)[:20] for part in change))
def test_a_tampered_checkpoint_is_refused_and_the_run_stays_as_it_was(saved, change):
    run, path = saved
    _with(path, *change)
    before, random = _state(run.model), torch.get_rng_state()
    with pytest.raises((DataError, ConfigError), match=r"^[^\n]*last\.pt: [^\n]*$"):
        load_checkpoint(path, run)
    assert torch.equal(torch.get_rng_state(), random)
    assert (run.epoch, run.steps, run.history) == (0, 0, [])
    assert all(torch.equal(value, before[name]) for name, value in _state(run.model).items())


@pytest.mark.parametrize("kind", ["float64", "int64", "nan", "sparse", "meta", "huge"])
def test_tensors_of_the_wrong_kind_are_refused(saved, kind):
    run, path = saved
    name, value = next((name, value) for name, value in run.model.state_dict().items() if value.ndim == 4)
    tensors = {
        "float64": value.double(), "int64": value.long(), "nan": value * NAN, "sparse": value.to_sparse(),
        "meta": value.to("meta"), "huge": torch.zeros(1).expand(10**12),
    }  # fmt: skip
    _with(path, "model", name, tensors[kind])
    with pytest.raises((DataError, ConfigError), match=r"last\.pt"):
        load_checkpoint(path, run)


def test_moments_that_cannot_be_are_refused(coco_folder, tiny_detector, tmp_path):
    dataset = load(coco_folder, "train")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_detector, dataset, QUICK, hooks=[Checkpoints(tmp_path), StopAt(1)])
    run = start_run(tiny_detector, dataset, QUICK, torch.device("cpu"), lambda: "")
    sound = (tmp_path / LAST).read_bytes()
    load_checkpoint(tmp_path / LAST, run)
    for name, value in [
        ("step", torch.tensor(1e30)), ("step", torch.tensor(-1.0)), ("step", 1), ("exp_avg", torch.zeros(2)),
        ("exp_avg_sq", torch.full_like(run.optimizer.state_dict()["state"][0]["exp_avg_sq"], -1)),
    ]:  # fmt: skip
        (tmp_path / LAST).write_bytes(sound)
        _with(tmp_path / LAST, "optimizer", "state", 0, name, value)
        with pytest.raises(DataError, match=f"optimizer, 0: {name}"):
            load_checkpoint(tmp_path / LAST, run)
    (tmp_path / LAST).write_bytes(sound)
    _with(tmp_path / LAST, "optimizer", "state", {})
    with pytest.raises(DataError, match="remembers nothing"):
        load_checkpoint(tmp_path / LAST, run)


def _compressed(path):
    """Write the archive again, compressed and with ten megabytes of zeros in it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("archive/data/999", bytes(10**7))


def _nested(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            deep = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
            archive.writestr(name, deep if name.endswith("data.pkl") else content)


def _one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _old_format(path):
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)


def _folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_compressed, _nested, _one_bit, _old_format, _folder])
def test_a_file_that_torch_would_not_have_written_is_refused(saved, damage):
    run, path = saved
    damage(path)
    with pytest.raises(DataError, match=r"last\.pt: (cut off, or not one|not one|no checkpoint)"):
        load_checkpoint(path, run)
