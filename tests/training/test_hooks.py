import errno
import json
from pathlib import Path

import pytest
import torch

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.training import Checkpoints, Evaluate, Log, TrainConfig, train
from coursekit.training.checkpoint import BEST, LAST, read_checkpoint
from coursekit.training.hooks import Bar, FullCard, LearningRate, read_metrics
from coursekit.training.run_state import start_run
from coursekit.training.step_losses import StepLosses


@pytest.fixture
def run(coco_folder, tiny_detector):
    """A run before its first step: three epochs of two steps each."""
    config = TrainConfig(epochs=3, batch_size=2, checkpoint_every=3, warmup_steps=2, lr=0.5)
    return start_run(tiny_detector, load(coco_folder, "train"), config, torch.device("cpu"), lambda: "")


@pytest.fixture
def saved(monkeypatch):
    """Collect the file name and the step of each checkpoint in place of writing it."""
    saved = []
    monkeypatch.setattr(
        "coursekit.training.hooks.save_checkpoint", lambda path, run: saved.append((path.name, run.steps))
    )
    return saved


def _scores(values):
    remaining = iter(values)
    return lambda _: {"AP": next(remaining), "AP50": 0.5}


def test_the_log_has_a_line_per_step_and_per_evaluation(coco_folder, tiny_detector, tmp_path):
    log = Log(tmp_path)
    hooks = [log, Evaluate(_scores([0.1, 0.2]), log)]
    config = TrainConfig(epochs=2, batch_size=2, precision="fp32")
    train(tiny_detector, load(coco_folder, "train"), config, hooks=hooks)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    start, *lines, end = lines
    assert (start["step"], end["step"], end["left_out"]) == (0, 4, "")
    assert "cores" in start["device"]
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
    assert [line.get("AP") for line in lines] == [None, None, 0.1, None, None, 0.2]
    assert lines[0]["losses"].keys() >= {"loss_classifier", "loss_objectness"}
    assert set(lines[0]["phases"]) == {"data", "copy", "forward", "backward", "optimizer"}


def test_a_resumed_log_keeps_the_lines_up_to_its_step(coco_folder, tiny_detector, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 9}\n{"step": 2, "loss": 8}\n{"step": 3, "lo')
    run = start_run(tiny_detector, load(coco_folder, "train"), TrainConfig(), torch.device("cpu"), lambda: "")
    run.steps = 1
    log = Log(tmp_path)
    log.before_run(run)
    log.after_run(run)
    kept, start, end = read_metrics(path)
    assert kept == {"step": 1, "loss": 9}
    assert (start.keys(), end.keys()) == ({"step", "device"}, {"step", "left_out", "memory"})


def test_an_event_is_logged_once(coco_folder, tiny_detector, tmp_path):
    run = start_run(tiny_detector, load(coco_folder, "train"), TrainConfig(), torch.device("cpu"), lambda: "")
    log = Log(tmp_path)
    log.before_run(run)
    run.events.append("out of memory. From now on 2 images at a time")
    log.after_run(run)
    events = [line["event"] for line in read_metrics(tmp_path / "metrics.jsonl") if "event" in line]
    assert events == ["out of memory. From now on 2 images at a time"]


@pytest.mark.slow
def test_the_best_checkpoint_has_the_best_score(coco_folder, tiny_detector, tmp_path):
    evaluate = Evaluate(_scores([0.1, 0.7, 0.3]))
    hooks = [evaluate, Checkpoints(tmp_path, evaluate)]
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=3, batch_size=3), hooks=hooks)
    best = read_checkpoint(tmp_path / BEST)["numbers"]
    assert (best["steps"], best["best"]) == (2, 0.7)


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
def test_checkpoints_come_every_few_steps_and_at_the_end(coco_folder, tiny_detector, monkeypatch, every, steps):
    saved = []
    monkeypatch.setattr("coursekit.training.hooks.save_checkpoint", lambda path, run: saved.append(run.steps))
    config = TrainConfig(epochs=1, batch_size=1, checkpoint_every=every)
    train(tiny_detector, load(coco_folder, "train"), config, hooks=[Checkpoints(Path("nowhere"))])
    assert saved == steps


def test_checkpoints_come_at_the_end_of_each_epoch_and_once_per_step(run, saved, tmp_path):
    hook = Checkpoints(tmp_path)
    hook.before_run(run)
    run.steps, run.batch = 1, 1
    hook.after_step(run)
    assert saved == []
    run.steps, run.batch = 2, len(run.loader)
    hook.after_step(run)
    hook.after_run(run)
    assert saved == [(LAST, 2)]


def test_only_a_higher_score_is_saved_as_the_best(run, saved, tmp_path):
    evaluate = Evaluate(lambda model: {})
    hook = Checkpoints(tmp_path, evaluate, "AP50")
    hook.before_run(run)
    for step, ap50 in ((1, 0.5), (2, 0.5), (4, 0.4), (5, 0.6)):
        evaluate.latest = {"AP": 1 - ap50, "AP50": ap50}
        run.steps = step
        hook.after_step(run)
    assert saved == [(LAST, 1), (BEST, 1), (LAST, 5), (BEST, 5)]
    assert run.best == 0.6


@pytest.mark.slow
@pytest.mark.parametrize(("every", "count"), [(1, 5), (2, 3), (9, 1)])
def test_evaluations_come_every_few_epochs_and_at_the_end(coco_folder, tiny_detector, every, count):
    evaluations = []
    evaluate = Evaluate(lambda model: evaluations.append(1) or {"AP": 0.0}, every=every)
    train(tiny_detector, load(coco_folder, "train"), TrainConfig(epochs=5, batch_size=3), hooks=[evaluate])
    assert len(evaluations) == count


@pytest.mark.parametrize(("free", "seconds", "warned"), [(0.01, 4.0, 1), (0.5, 4.0, 0), (0.01, 1.1, 0)])
def test_a_full_and_slow_card_is_reported_once(coco_folder, tiny_detector, free, seconds, warned):
    run = start_run(tiny_detector, load(coco_folder, "train"), TrainConfig(), torch.device("cpu"), lambda: "")
    hook = FullCard(lambda _: free)
    for step_seconds in [1.0] * 20 + [seconds] * 3:
        run.clock.last["forward"] = step_seconds
        hook.after_step(run)
    assert len(run.events) == warned
    assert all("--micro-batch 4" in event for event in run.events)


def test_each_step_has_the_learning_rates_of_its_number(run):
    hook = LearningRate()
    hook.before_run(run)
    highest = [group["lr"] for group in run.optimizer.param_groups]
    factors = []
    for step in range(run.total_steps + 1):
        run.steps = step
        hook.before_step(run)
        rates = [group["lr"] for group in run.optimizer.param_groups]
        factors.append(rates[0] / highest[0])
        assert rates == pytest.approx([factors[-1] * rate for rate in highest])
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 0.853553, 0.5, 0.146447, 0], abs=1e-5)
    hook.before_run(run)  # as after a stop: the highest learning rates are still known
    run.steps = 2
    hook.before_step(run)
    assert [group["lr"] for group in run.optimizer.param_groups] == pytest.approx(highest)


def test_the_bar_counts_images_and_shows_each_event_once(run, capsys):
    bar = Bar()
    run.images = 2  # resumed there
    bar.before_run(run)
    assert (bar.bar.total, bar.bar.n) == (9, 2)
    run.events.append("out of memory")
    for images in (4, 6, 9):
        losses = StepLosses()
        losses.add({"loss_a": torch.tensor(0.25), "loss_b": torch.tensor(0.5)}, 1.0, [7])
        run.record_step(losses, images - run.images)
        run.read_steps()
        bar.after_step(run)
        assert bar.bar.n == images
    assert "loss=0.750" in bar.bar.postfix
    assert sum(output.count("out of memory") for output in capsys.readouterr()) == 1
    bar.after_run(run)


def test_a_full_disk_ends_the_log_with_a_sentence(run, tmp_path):
    class Full:
        def write(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

        close = flush = write

    log = Log(tmp_path)
    log.before_run(run)
    log.file.close()
    log.file = Full()
    with pytest.raises(DataError, match=r"metrics\.jsonl: can't be written \(the disk is full\).*--resume"):
        log.write({"step": 1})
    log.after_run(run)  # nothing more is written
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0]
