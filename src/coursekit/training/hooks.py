"""Hooks: what happens around the steps of a run. The loop calls them at four moments and knows nothing else of them."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import msgspec
import torch
from torch import nn
from tqdm.auto import tqdm

from coursekit.core import distributed
from coursekit.core.disk_errors import disk_errors
from coursekit.core.errors import DataError
from coursekit.core.files import new_file
from coursekit.training.checkpoint import BEST, LAST, save_checkpoint
from coursekit.training.optimizer import warmup_cosine
from coursekit.training.run_state import Run, summary

METRICS = "metrics.jsonl"


class Hook:
    """Base class for hooks: four callbacks that do nothing by default.

    The loop calls them like this:

        for hook in hooks: hook.before_run(run)
        for batch in batches:
            for hook in hooks: hook.before_step(run)
            one optimizer step
            for hook in hooks: hook.after_step(run)        on a GPU, the history may lack this step
        for hook in hooks: hook.after_run(run)         also after an error or Ctrl-C
    """

    def before_run(self, run: Run) -> None:
        """Run once, before the first step."""

    def before_step(self, run: Run) -> None:
        """Run before each step."""

    def after_step(self, run: Run) -> None:
        """Run after each step."""

    def after_run(self, run: Run) -> None:
        """Run once at the end, however the run ended."""


class LearningRate(Hook):
    """Set the learning rate: warm-up, then a cosine. It depends on the step number only, so resuming is free."""

    def before_run(self, run: Run) -> None:
        """Remember the peak learning rate of each parameter group."""
        self.highest = [group.setdefault("highest", group["lr"]) for group in run.optimizer.param_groups]

    def before_step(self, run: Run) -> None:
        """Set the learning rates of this step."""
        factor = warmup_cosine(run.steps, run.total_steps, run.config.warmup_steps)
        for group, highest in zip(run.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = factor * highest


class Bar(Hook):
    """Show a progress bar: images done, the loss, and the share of the time spent waiting for data."""

    def before_run(self, run: Run) -> None:
        """Draw the bar, from the point where the run starts or resumes."""
        total, done = run.config.epochs * len(run.loader.dataset), run.images
        is_hidden = distributed.rank() > 0
        self.bar = tqdm(total=total, initial=done, desc="training", unit="img", smoothing=0.1, disable=is_hidden)
        self.events_shown = 0

    def after_step(self, run: Run) -> None:
        """Advance the bar, and print new events above it."""
        waiting = f"{run.clock.shares()['data']:.0%}"
        loss = f"{run.history[-1].loss:.3f}" if run.history else "…"
        self.bar.total = run.config.epochs * len(run.loader.dataset)  # a hook may have changed the epochs
        self.bar.set_postfix(loss=loss, waiting=waiting, refresh=False)
        self.bar.update(run.images - self.bar.n)
        for event in run.events[self.events_shown :]:
            self.bar.write(event)
        self.events_shown = len(run.events)

    def after_run(self, run: Run) -> None:
        """Close the bar and print the summary."""
        self.bar.close()
        if run.history and not self.bar.disable:
            for line in summary(run):
                tqdm.write(line)


class Log(Hook):
    """Write metrics.jsonl: one line per step, evaluation, start, end and event.

    Lines after the step from which a run resumes are dropped, because the run writes them again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS
        self.file: TextIO | None = None
        self.events_logged = self.steps_logged = 0

    def before_run(self, run: Run) -> None:
        """Keep the lines up to the step where the run starts or resumes, and write the device's name."""
        self.steps_logged = len(run.history)
        if distributed.rank() == 0:
            lines = [line for line in read_metrics(self.path) if line["step"] <= run.steps]
            with new_file(self.path) as partial:  # not through a link that the folder may hold
                partial.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            self.file = self.path.open("a", encoding="utf-8")
            self.write({"step": run.steps, "device": device_name(run.device)})

    def after_step(self, run: Run) -> None:
        """Write a line for each step whose results have arrived, see `Step`, and for each event."""
        if self.file:
            self._write_news(run)

    def write(self, line: Mapping[str, object]) -> None:
        """Write one line and flush it. If that fails, nothing more is written.

        Raises:
            DataError: the disk is full.
        """
        assert self.file is not None
        with disk_errors(self.path, f"with --resume, if {LAST} is there already"):
            try:
                self.file.write(msgspec.json.encode(line).decode() + "\n")
                self.file.flush()
            except OSError:
                with suppress(OSError):
                    self.file.close()
                self.file = None
                raise

    def after_run(self, run: Run) -> None:
        """Write the images left out and the peak memory of the GPU in bytes, and close the file."""
        if self.file:
            self._write_news(run)
            memory = torch.cuda.max_memory_allocated(run.device) if run.device.type == "cuda" else None
            self.write({"step": run.steps, "left_out": run.loader.report(), "memory": memory})
            self.file.close()

    def _write_news(self, run: Run) -> None:
        for event in run.events[self.events_logged :]:
            self.write({"step": run.steps, "event": event})
        for step in run.history[self.steps_logged :]:
            self.write(msgspec.to_builtins(step))
        self.events_logged, self.steps_logged = len(run.events), len(run.history)


def device_name(device: torch.device) -> str:
    """Describe a device for people: its model, memory, cores and threads."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {torch.cuda.mem_get_info(device)[1] / 2**30:.1f} GiB"
    return f"{platform.machine()} {device.type}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics.jsonl. A line that a killed process left incomplete is skipped.

    Raises:
        DataError: it can't be read, or a line is not one of ours.
    """
    lines = []
    for number, content in enumerate(_content(path).splitlines(), start=1):
        try:
            line = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if not isinstance(line, dict) or type(line.get("step")) is not int or line["step"] < 0:
            raise DataError(f"{path}, line {number}: expected an object with a `step` from 0. Remove the line.")
        lines.append(line)
    return lines


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file. Move it away.")
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Check its permissions.") from None


class Evaluate(Hook):
    """Score the model at the end of an epoch.

    Args:
        score: takes the model and returns numbers by name, at all processes. It leaves the model unchanged.
        log: gets a line with the numbers.
        every: epochs between evaluations. The last epoch is always evaluated.
    """

    def __init__(self, score: Callable[[nn.Module], dict[str, float]], log: Log | None = None, every: int = 1) -> None:
        self.score, self.log, self.every = score, log, every
        self.latest: dict[str, float] = {}

    def after_step(self, run: Run) -> None:
        """Score the model if an epoch has ended and it is due."""
        self.latest = {}
        if not run.ends_epoch or ((run.epoch + 1) % self.every and run.epoch + 1 < run.config.epochs):
            return
        self.latest = self.score(run.model)
        if self.log and self.log.file:
            self.log.write({"step": run.steps, "epoch": run.epoch, **self.latest})


class Checkpoints(Hook):
    """Save `last.pt` regularly, at the end of each epoch and at the end, and `best.pt` at the best score.

    Args:
        folder: where to save them.
        evaluate: the hook that scores; it comes before this one.
        number: name of the score that decides what is best.
    """

    def __init__(self, folder: Path, evaluate: Evaluate | None = None, number: str = "AP") -> None:
        self.folder, self.evaluate, self.number = folder, evaluate, number
        self.saved_step = -1

    def before_run(self, run: Run) -> None:
        """Remember the first step: there is nothing to save yet."""
        self.saved_step = run.steps

    def after_step(self, run: Run) -> None:
        """Save if it is due, or if the score is the best so far."""
        score = self.evaluate.latest.get(self.number) if self.evaluate else None
        is_best = score is not None and score > run.best
        if is_best and score is not None:
            run.best = score
        if run.ends_epoch or run.steps % run.config.checkpoint_every == 0 or is_best:
            self._save(run, is_best=is_best)

    def after_run(self, run: Run) -> None:
        """Save unsaved steps, also after Ctrl-C or an error: the state after the last good step."""
        if run.steps != self.saved_step:
            self._save(run, is_best=False)

    def _save(self, run: Run, *, is_best: bool) -> None:
        self.saved_step = run.steps
        if distributed.rank() == 0:
            save_checkpoint(self.folder / LAST, run)
            if is_best:
                save_checkpoint(self.folder / BEST, run)


class FullCard(Hook):
    """Warn if a GPU is full and its steps have become slow: on Windows and WSL it then spills into shared memory.

    Args:
        free: returns the share of the device's memory that is free, 0 to 1.
    """

    LITTLE_FREE = 0.03  # share of the card's memory
    SLOW = 3.0  # times the median of the first steps
    FIRST_STEPS = 20

    def __init__(self, free: Callable[[torch.device], float] | None = None) -> None:
        self.free = free or free_share
        self.seconds: list[float] = []
        self.has_warned = False

    def after_step(self, run: Run) -> None:
        """Compare the time of this step with the median of the first steps."""
        seconds = sum(run.clock.last.values()) - run.clock.last["data"]
        if len(self.seconds) < self.FIRST_STEPS:
            self.seconds.append(seconds)
            return
        slowdown = seconds / statistics.median(self.seconds)
        if not self.has_warned and slowdown > self.SLOW and self.free(run.device) < self.LITTLE_FREE:
            self.has_warned = True
            run.events.append(
                f"step {run.steps}: {slowdown:.0f} times as slow as the first steps, and the card is full. It may be "
                "spilling into the computer's memory, as Windows and WSL do. Stop, and continue with --resume "
                f"--micro-batch {max(1, run.micro_batch // 2)}."
            )


def free_share(device: torch.device) -> float:
    """Return the share of a GPU's memory that is free; 1 for a CPU."""
    if device.type != "cuda":
        return 1.0
    free, total = torch.cuda.mem_get_info(device)
    return free / total
