"""The state of a training run."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from msgspec import structs
from torch import Tensor, nn

from coursekit.core import distributed
from coursekit.core.config import TrainConfig, check_config
from coursekit.core.device import best_device, prefers_few_launches, use_tensor_cores
from coursekit.core.errors import CourseError
from coursekit.data.augment import mirror, unchanged
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import Loader, make_loader
from coursekit.data.workers import choose_workers
from coursekit.detector.backbone import Backbone
from coursekit.training.clock import Clock, Interval
from coursekit.training.optimizer import make_optimizer
from coursekit.training.step_losses import StepLosses
from coursekit.training.torch_compile import compile_dense, stop_compiled


@dataclass(frozen=True)
class Step:
    """The record of one optimizer step.

    Attributes:
        step: its number, from 1.
        loss: the sum of the losses.
        losses: by name.
        lr: learning rate of the new parts, that is, all but the pretrained backbone.
        seconds: training time since the start of the run, without evaluations and pauses.
        images: images since the start of the run.
        epoch: number of the epoch, from 0.
        micro_batch: images per forward pass.
        phases: seconds of the step by phase; see `Clock`.
    """

    step: int
    loss: float
    losses: dict[str, float]
    lr: float
    seconds: float
    images: int
    epoch: int = 0
    micro_batch: int = 0
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Launched:
    """A step that Python has launched, and that a GPU may still be computing.

    Attributes:
        record: its record, without losses, phases and seconds.
        before: the run's totals before it.
        losses: its losses, on their way.
        intervals: its phases, see `Clock`.
    """

    record: Step
    before: dict[str, int]
    losses: StepLosses
    intervals: list[Interval]


@dataclass
class Run:
    """The state of a training run. `checkpoint.py` says which of it is saved.

    Attributes:
        micro_batch: images per forward pass on this device.
        advise: returns what to do if not even one image fits into memory.
        is_bad: 1.0 once a loss has been NaN or infinite, else 0.0: a scalar on the device.
        epoch, batch: position in the data; `batch` is the next one.
        steps, images, seconds: totals so far, over all processes.
        best: the highest score so far; -1 before the first.
        history: the record of each step whose results were read.
        launched: the steps whose results were not read yet: at most one, while a GPU computes the next.
        events: messages for the user.
        stopped: whether a signal has asked the run to stop.
    """

    model: nn.Module
    config: TrainConfig
    device: torch.device
    loader: Loader
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    clock: Clock
    micro_batch: int
    advise: Callable[[], str]
    is_bad: Tensor
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    best: float = -1.0
    history: list[Step] = field(default_factory=list)
    launched: deque[Launched] = field(default_factory=deque)
    events: list[str] = field(default_factory=list)
    stopped: bool = False
    _loss_names: Sequence[str] = ()
    _started: float | None = None  # while training time counts

    @property
    def total_steps(self) -> int:
        """Return the number of optimizer steps in the whole run."""
        return self.config.epochs * len(self.loader)

    @property
    def ends_epoch(self) -> bool:
        """Return whether the last step was the last one of its epoch."""
        return self.batch == len(self.loader)

    @property
    def steps_ahead(self) -> int:
        """Return how many steps Python may be ahead of the results.

        That is 1 on a GPU, so that it never waits for Python, and 0 on a CPU, before a checkpoint and before a score.
        """
        is_due = self.ends_epoch or self.steps % self.config.checkpoint_every == 0 or self.stopped
        return 0 if is_due or not prefers_few_launches(self.device) else 1

    @contextmanager
    def counting_time(self) -> Iterator[None]:
        """Count the time that the block takes, and the wait for its batch, as training time."""
        self._started = time.perf_counter() - self.clock.waited
        try:
            yield
        finally:
            self.seconds, self._started = self._seconds_now(), None

    def record_step(self, losses: StepLosses, images: int) -> None:
        """Count a step that was launched. `read_steps` adds it to the history."""
        losses.send()
        before = {"steps": self.steps, "batch": self.batch, "images": self.images}
        self.steps, self.batch, self.images = self.steps + 1, self.batch + 1, self.images + images
        lr = self.optimizer.param_groups[-1]["lr"]
        record = Step(self.steps, 0.0, {}, lr, 0.0, self.images, self.epoch, self.micro_batch)
        self.launched.append(Launched(record, before, losses, self.clock.end_step()))

    def read_steps(self, *, ahead: int = 0) -> None:
        """Read the results of the launched steps, except of the last `ahead`, and add them to the history.

        Raises:
            CourseError: a loss is NaN or infinite. The run is then as it was before that step.
        """
        while len(self.launched) > ahead:
            step = self.launched.popleft()
            try:
                losses = step.losses.read()
            except CourseError:
                self._go_back(step)
                raise
            loss, seconds, phases = sum(losses.values()), self._seconds_now(), self.clock.read(step.intervals)
            self.history.append(replace(step.record, loss=loss, losses=losses, seconds=seconds, phases=phases))

    def agree_on_names(self, names: Sequence[str]) -> Sequence[str]:
        """Return the names of the losses. A process without images learns them from the others, once."""
        if not self._loss_names:
            self._loss_names = max(distributed.gather_all(list(names)), key=len)
        return self._loss_names

    def use_precision(self, precision: str) -> None:
        """Train in this precision in place of "auto", and predict in it."""
        self.config = structs.replace(self.config, precision=precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.model.precision = precision  # type: ignore[assignment]

    def _go_back(self, step: Launched) -> None:
        """Undo the counting of a step that was skipped, and of the steps after it, which were skipped, too."""
        self.launched.clear()
        for name, value in step.before.items():
            setattr(self, name, value)

    def _seconds_now(self) -> float:
        return self.seconds + (time.perf_counter() - self._started if self._started else 0.0)

    def halve_micro_batch(self, reason: str) -> None:
        """Use half as many images per forward pass from now on.

        Raises:
            CourseError: the micro-batch has one image already.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch == 1:
            raise CourseError(f"Not even one image fits into memory ({reason}). {self.advise()}")
        stop_compiled(self.model)
        self.micro_batch = -(-self.micro_batch // 2)
        self.events.append(
            f"step {self.steps + 1}: out of memory. From now on {self.micro_batch} images at a time; gradients "
            f"accumulate, so the batch size stays {self.config.batch_size}. To start this way: "
            f"--micro-batch {self.micro_batch}"
        )


def start_run(
    model: nn.Module, dataset: CocoDataset, config: TrainConfig, device: torch.device | None, advise: Callable[[], str]
) -> Run:
    """Return a run before its first step. Arguments and errors are those of `train`."""
    check_config(config)
    device = device or best_device()
    use_tensor_cores(device)
    torch.manual_seed(config.seed)
    model.to(device).train()
    distributed.broadcast_weights(model)
    augment = mirror if config.flip else unchanged
    loader = make_loader(
        dataset, config.batch_size, seed=config.seed, augment=augment, workers=_workers(config, dataset, device)
    )
    local_batch_size = -(-config.batch_size // distributed.world_size())
    micro_batch = min(config.micro_batch or config.batch_size, local_batch_size)
    use_cuda_graph = device.type == "cuda" and micro_batch == local_batch_size
    events = compile_dense(model, use_cuda_graph=use_cuda_graph) if config.compile else []
    events += checkpoint_activations(model) if config.checkpoint_activations else []
    return Run(
        model,
        config,
        device,
        loader,
        make_optimizer(model, config),
        torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
        Clock(device),
        micro_batch,
        advise,
        torch.zeros((), dtype=torch.float32, device=device),
        events=events,
    )


def _workers(config: TrainConfig, dataset: CocoDataset, device: torch.device) -> int:
    if config.workers is not None:
        return config.workers
    return choose_workers(device, config.epochs * len(dataset) // config.batch_size, distributed.local_processes())


def checkpoint_activations(model: nn.Module) -> list[str]:
    """Recompute the backbone's activations in backward; return a message if this is not our detector."""
    backbone: Any = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone):
        return [f"--checkpoint-activations: {type(model).__name__} has no stages to checkpoint, so it runs without."]
    backbone.checkpoint_activations()
    return []


def summary(run: Run) -> Sequence[str]:
    """Return the lines that sum up a run: images left out, events, and where the time went."""
    long_side = max(run.loader.dataset.size(0)) if len(run.loader.dataset) else 0
    train_size = getattr(getattr(run.model, "options", None), "max_size", long_side)
    time_spent = run.clock.verdict(run.loader.workers, long_side / max(1, train_size))
    return [line for line in (run.loader.report(), *run.events, time_spent) if line]
