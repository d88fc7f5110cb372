"""The state of a training run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from coursekit.core import distributed
from coursekit.core.config import TrainConfig, check_config
from coursekit.core.device import best_device
from coursekit.core.errors import CourseError
from coursekit.data.augment import mirror, unchanged
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import Loader, make_loader
from coursekit.training.clock import Clock
from coursekit.training.compiled import compile_dense
from coursekit.training.optimizer import make_optimizer


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
    """

    step: int
    loss: float
    losses: dict[str, float]
    lr: float
    seconds: float
    images: int


@dataclass
class Run:
    """The state of a training run. `checkpoint.py` says which of it is saved.

    Attributes:
        micro_batch: images per forward pass on this device.
        advise: returns what to do if not even one image fits into memory.
        epoch, batch: position in the data; `batch` is the next one.
        steps, images, seconds: totals so far, over all processes.
        best: the highest score so far; -1 before the first.
        history: the record of each step.
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
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    best: float = -1.0
    history: list[Step] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def total_steps(self) -> int:
        """Return the number of optimizer steps in the whole run."""
        return self.config.epochs * len(self.loader)

    @property
    def ends_epoch(self) -> bool:
        """Return whether the last step was the last one of its epoch."""
        return self.batch == len(self.loader)

    def record_step(self, losses: dict[str, float], images: int, seconds: float) -> None:
        """Count a finished step and append its record to the history."""
        self.steps, self.batch = self.steps + 1, self.batch + 1
        self.images, self.seconds = self.images + images, self.seconds + seconds
        lr = self.optimizer.param_groups[-1]["lr"]
        self.history.append(Step(self.steps, sum(losses.values()), losses, lr, self.seconds, self.images))

    def halve_micro_batch(self, reason: str) -> None:
        """Use half as many images per forward pass from now on.

        Raises:
            CourseError: the micro-batch has one image already.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch == 1:
            raise CourseError(f"Not even one image fits into memory ({reason}). {self.advise()}")
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
    torch.manual_seed(config.seed)
    model.to(device).train()
    distributed.broadcast_weights(model)
    events = compile_dense(model) if config.compile else []
    augment = mirror if config.flip else unchanged
    loader = make_loader(dataset, config.batch_size, seed=config.seed, augment=augment, workers=config.workers)
    local_batch_size = -(-config.batch_size // distributed.world_size())
    return Run(
        model,
        config,
        device,
        loader,
        make_optimizer(model, config),
        torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
        Clock(device),
        min(config.micro_batch or config.batch_size, local_batch_size),
        advise,
        events=events,
    )


def summary(run: Run) -> Sequence[str]:
    """Return the lines that sum up a run: images left out, events, and where the time went."""
    long_side = max(run.loader.dataset.size(0)) if len(run.loader.dataset) else 0
    train_size = getattr(getattr(run.model, "options", None), "max_size", long_side)
    time_spent = run.clock.verdict(run.config.workers, long_side / max(1, train_size))
    return [line for line in (run.loader.report(), *run.events, time_spent) if line]
