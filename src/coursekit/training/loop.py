"""The training loop, short enough to read aloud. Everything else happens in hooks."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from coursekit.core import distributed
from coursekit.core.config import TrainConfig
from coursekit.data.boxes import Target
from coursekit.data.dataset import CocoDataset
from coursekit.training.checkpoint import load_checkpoint
from coursekit.training.hooks import Bar, FullCard, Hook, LearningRate
from coursekit.training.measure_precision import settle_precision
from coursekit.training.micro_batches import optimizer_step
from coursekit.training.run_state import Run, Step, start_run
from coursekit.training.step_losses import StepLosses

StepFunction = Callable[[Run, Sequence[Tensor], Sequence[Target]], tuple[StepLosses, int]]  # see `optimizer_step`
ADVICE = "Take a smaller size or a smaller backbone: `coursekit plan` says what fits."


def train(
    model: nn.Module,
    dataset: CocoDataset,
    config: TrainConfig | None = None,
    *,
    device: torch.device | None = None,
    hooks: Sequence[Hook] = (),
    resume: Path | None = None,
    advise: Callable[[], str] = lambda: ADVICE,
    step: StepFunction = optimizer_step,
) -> list[Step]:
    """Train a detector in place, with a progress bar.

    Args:
        model: takes a list of float images and a list of targets, and returns a dict of losses.
        dataset: the data to train on.
        config: see `TrainConfig`.
        device: the device to train on; the model is moved there. By default the GPU if there is one.
        hooks: what else should happen; see `Hook`.
        resume: a checkpoint to continue from, to the same numbers.
        advise: returns what to say if not even one image fits into memory.
        step: takes an optimizer step on a batch, and returns the losses and the number of images, as `optimizer_step`.

    Returns:
        The record of each step, including the steps before the checkpoint.

    Raises:
        ConfigError: an option can't be used, or differs from that of the checkpoint.
        DataError: the checkpoint can't be used.
        CourseError: a loss is NaN or infinite, or memory runs out with one image at a time.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the current step and all hooks are done.
    """
    run = start_run(model, dataset, config or TrainConfig(), device, advise)
    if resume:
        load_checkpoint(resume, run)
    settle_precision(run)
    all_hooks = [Bar(), LearningRate(), FullCard(), *hooks]
    with stop_on_signals(run), ExitStack() as stack:
        for hook in all_hooks:
            hook.before_run(run)
            stack.callback(hook.after_run, run)  # however the run ends; the last hook is called first
        stack.callback(run.read_steps)  # before the hooks
        while run.epoch < run.config.epochs:
            train_one_epoch(run, all_hooks, step)
            run.epoch, run.batch = run.epoch + 1, 0
    return run.history


def train_one_epoch(run: Run, hooks: Sequence[Hook], step: StepFunction = optimizer_step) -> None:
    """Train from the next batch to the end of the epoch."""
    batches = run.loader.epoch(run.epoch, run.batch, distributed.rank(), distributed.world_size())
    for images, targets in run.clock.waiting_for(batches):
        for hook in hooks:
            hook.before_step(run)
        with run.counting_time():
            run.record_step(*step(run, images, targets))
            run.read_steps(ahead=run.steps_ahead)
        for hook in hooks:
            hook.after_step(run)
        if run.stopped:
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(run: Run) -> Iterator[None]:
    """Stop the run after the current step on Ctrl-C or SIGTERM. A second signal stops it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
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
