"""The training loop: plain, visible, in one piece. Whatever else happens, happens in hooks."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import nn

from coursekit.core import distributed
from coursekit.core.config import TrainConfig
from coursekit.data.dataset import CocoDataset
from coursekit.training.checkpoint import load_checkpoint
from coursekit.training.hooks import Bar, FullCard, Hook, LearningRate
from coursekit.training.state import Run, Step, begin
from coursekit.training.step import optimizer_step

ADVICE = "Take a smaller size, or a smaller backbone: `coursekit plan` says what fits."


def train(
    model: nn.Module,
    dataset: CocoDataset,
    config: TrainConfig | None = None,
    *,
    device: torch.device | None = None,
    hooks: Sequence[Hook] = (),
    resume: Path | None = None,
    advise: Callable[[], str] = lambda: ADVICE,
) -> list[Step]:
    """Train a detector in place, with a bar.

    Args:
        model: takes a list of float images and a list of targets, and gives a dict of losses.
        dataset: what to train on.
        config: see `TrainConfig`.
        device: where to; the model is moved there.
        hooks: what else should happen; see `Hook`.
        resume: a checkpoint to go on from, to the same numbers.
        advise: what to say where not even one image fits into memory.

    Returns:
        What happened in each step, also in those before the checkpoint.

    Raises:
        ConfigError: a setting can't be used, or is not that of the checkpoint.
        DataError: the checkpoint can't be used.
        CourseError: a loss is NaN or infinite, or memory runs out with one image at a time.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the step under way and all hooks are done.
    """
    run = begin(model, dataset, config or TrainConfig(), device, advise)
    if resume:
        load_checkpoint(resume, run)
    every = [Bar(), LearningRate(), FullCard(), *hooks]
    with heeding_signals(run), ExitStack() as end:
        for hook in every:
            hook.before_run(run)
            end.callback(hook.after_run, run)  # however the run ends, and last come, first served
        while run.epoch < run.config.epochs:
            train_one_epoch(run, every)
            run.epoch, run.batch = run.epoch + 1, 0
    return run.history


def train_one_epoch(run: Run, hooks: Sequence[Hook]) -> None:
    """From the next batch to the end of the epoch."""
    batches = run.loader.epoch(run.epoch, run.batch, distributed.rank(), distributed.world())
    for images, targets in run.clock.waiting_for(batches):
        for hook in hooks:
            hook.before_step(run)
        start = time.perf_counter()
        losses, count = optimizer_step(run, images, targets)
        run.note(losses, count, run.clock.last["data"] + time.perf_counter() - start)
        for hook in hooks:
            hook.after_step(run)
        if run.stopped:
            raise KeyboardInterrupt


@contextmanager
def heeding_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step under way; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread listen
        return

    def stop(number: int, _: FrameType | None) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
