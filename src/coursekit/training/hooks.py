"""What happens around the steps of a run. The loop knows four moments and nothing else."""

import contextlib
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec
import torch
from torch import nn
from tqdm.auto import tqdm

from coursekit.core import distributed
from coursekit.training.checkpoint import BEST, LAST, save_checkpoint
from coursekit.training.optimizer import warmup_cosine
from coursekit.training.state import Run, finished

METRICS = "metrics.jsonl"


class Hook:
    """Does nothing, four times.

    for hook in hooks: hook.before_run(run)
    for each batch:
        for hook in hooks: hook.before_step(run)
        one optimizer step
        for hook in hooks: hook.after_step(run)
    for hook in hooks: hook.after_run(run)         also after an error or Ctrl-C
    """

    def before_run(self, run: Run) -> None:
        """Once, before the first step."""

    def before_step(self, run: Run) -> None:
        """Before each step."""

    def after_step(self, run: Run) -> None:
        """After each step."""

    def after_run(self, run: Run) -> None:
        """Once, at the end, however the run ended."""


class LearningRate(Hook):
    """Warm-up, then a cosine. It follows from the number of the step alone, so there is nothing to resume."""

    def before_run(self, run: Run) -> None:
        """Keep the highest rates."""
        self.highest = [group.setdefault("highest", group["lr"]) for group in run.optimizer.param_groups]

    def before_step(self, run: Run) -> None:
        """Set the rates of this step."""
        factor = warmup_cosine(run.steps, run.total, run.config.warmup_steps)
        for group, highest in zip(run.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = factor * highest


class Bar(Hook):
    """Images done, the loss, and the share of the time spent waiting for data."""

    def before_run(self, run: Run) -> None:
        """Draw the bar, from where the run goes on."""
        total, done = run.config.epochs * len(run.loader.dataset), run.images
        hidden = distributed.rank() > 0
        self.bar = tqdm(total=total, initial=done, desc="training", unit="img", smoothing=0.1, disable=hidden)
        self.said = 0

    def after_step(self, run: Run) -> None:
        """Move it; tell what happened above it."""
        waiting = f"{run.clock.shares()['data']:.0%}"
        self.bar.set_postfix(loss=f"{run.history[-1].loss:.3f}", waiting=waiting, refresh=False)
        self.bar.update(run.images - self.bar.n)
        for event in run.events[self.said :]:
            self.bar.write(event)
        self.said = len(run.events)

    def after_run(self, run: Run) -> None:
        """Close it, and sum up."""
        self.bar.close()
        if run.history and not self.bar.disable:
            for line in finished(run):
                tqdm.write(line)


class Log(Hook):
    """metrics.jsonl: a line for each step, each evaluation, each start and end, and each event in words.

    What a resumed run repeats is written anew.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS
        self.file: TextIO | None = None
        self.said = 0

    def before_run(self, run: Run) -> None:
        """Keep the lines up to the step that the run goes on from; say on what it runs."""
        if distributed.rank() == 0:
            lines = [line for line in read_metrics(self.path) if line["step"] <= run.steps]
            self.file = self.path.open("w")
            for line in lines:
                self.write(line)
            self.write({"step": run.steps, "device": name_of(run.device)})

    def after_step(self, run: Run) -> None:
        """A line: step, epoch, loss, losses, lr, images, seconds, and the seconds of each phase."""
        if self.file:
            self._tell(run)
            step = msgspec.to_builtins(run.history[-1])
            self.write(step | {"epoch": run.epoch, "micro_batch": run.micro_batch, "phases": run.clock.last})

    def write(self, line: Mapping[str, object]) -> None:
        """One line, at once on disk as far as the system goes."""
        assert self.file is not None
        self.file.write(msgspec.json.encode(line).decode() + "\n")
        self.file.flush()

    def after_run(self, run: Run) -> None:
        """The images left out, the most memory that a card held (bytes), and close the file."""
        if self.file:
            self._tell(run)
            memory = torch.cuda.max_memory_allocated(run.device) if run.device.type == "cuda" else None
            self.write({"step": run.steps, "left_out": run.loader.report(), "memory": memory})
            self.file.close()

    def _tell(self, run: Run) -> None:
        for event in run.events[self.said :]:
            self.write({"step": run.steps, "event": event})
        self.said = len(run.events)


def name_of(device: torch.device) -> str:
    """What a run ran on, for people."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {torch.cuda.mem_get_info(device)[1] / 2**30:.1f} GiB"
    return f"{platform.machine()} {device.type}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; one that a kill has cut is left out."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(line))
    return found


class Evaluate(Hook):
    """Scores at the end of each epoch, or of every few.

    Args:
        score: model → numbers by name, at all processes. It leaves the model as it was.
        log: where a line with them goes.
        every: epochs between two scores; the last epoch always has one.
    """

    def __init__(self, score: Callable[[nn.Module], dict[str, float]], log: Log | None = None, every: int = 1) -> None:
        self.score, self.log, self.every = score, log, every
        self.latest: dict[str, float] = {}

    def after_step(self, run: Run) -> None:
        """Score, where an epoch ends."""
        self.latest = {}
        if not run.ends_epoch or ((run.epoch + 1) % self.every and run.epoch + 1 < run.config.epochs):
            return
        self.latest = self.score(run.model)
        if self.log and self.log.file:
            self.log.write({"step": run.steps, "epoch": run.epoch, **self.latest})


class Checkpoints(Hook):
    """`last.pt` every so many steps, at the end of each epoch and at the end; `best.pt` where the score is the best.

    Args:
        folder: where to.
        evaluate: the hook before this one that scores.
        number: which of its numbers tells the best.
    """

    def __init__(self, folder: Path, evaluate: Evaluate | None = None, number: str = "AP") -> None:
        self.folder, self.evaluate, self.number = folder, evaluate, number
        self.saved = -1

    def before_run(self, run: Run) -> None:
        """Nothing is new yet."""
        self.saved = run.steps

    def after_step(self, run: Run) -> None:
        """Save, where it is time to."""
        score = self.evaluate.latest.get(self.number) if self.evaluate else None
        is_best = score is not None and score > run.best
        if is_best and score is not None:
            run.best = score
        if run.ends_epoch or run.steps % run.config.checkpoint_every == 0 or is_best:
            self._save(run, is_best=is_best)

    def after_run(self, run: Run) -> None:
        """Save what has not been saved, also after Ctrl-C or an error: the state after the last good step."""
        if run.steps != self.saved:
            self._save(run, is_best=False)

    def _save(self, run: Run, *, is_best: bool) -> None:
        self.saved = run.steps
        if distributed.rank() == 0:
            save_checkpoint(self.folder / LAST, run)
            if is_best:
                save_checkpoint(self.folder / BEST, run)


class FullCard(Hook):
    """Warns where a card is full and steps have become slow: under Windows and WSL it then spills into shared memory.

    Args:
        free: share of the card's memory that is free.
    """

    LITTLE, SLOW, FIRST = 0.03, 3.0, 20

    def __init__(self, free: Callable[[torch.device], float] | None = None) -> None:
        self.free = free or free_share
        self.seconds: list[float] = []
        self.warned = False

    def after_step(self, run: Run) -> None:
        """Compare this step with the first ones."""
        seconds = sum(run.clock.last.values()) - run.clock.last["data"]
        if len(self.seconds) < self.FIRST:
            self.seconds.append(seconds)
            return
        times = seconds / statistics.median(self.seconds)
        if not self.warned and times > self.SLOW and self.free(run.device) < self.LITTLE:
            self.warned = True
            run.events.append(
                f"step {run.steps}: {times:.0f} times as slow as at first, and the card is full: it may spill into the "
                "computer's memory (Windows and WSL do). Stop, and go on with --resume --micro-batch "
                f"{max(1, run.micro_batch // 2)}."
            )


def free_share(device: torch.device) -> float:
    """Of a card's memory; 1 where there is no card."""
    if device.type != "cuda":
        return 1.0
    free, total = torch.cuda.mem_get_info(device)
    return free / total
