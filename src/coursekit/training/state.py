"""What a training run is at a moment."""

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
    """What happened in one optimizer step. `seconds` is since the start of the run, pauses apart."""

    step: int
    loss: float
    losses: dict[str, float]
    lr: float
    seconds: float
    images: int


@dataclass
class Run:
    """A training run at a moment. What a checkpoint holds of it is in `checkpoint.py`.

    Attributes:
        micro_batch: images at a time on this device.
        advise: says what to do where not even one image fits.
        epoch, batch: where in the data it is; `batch` is that which comes next.
        steps, images, seconds: so far, over all processes.
        best: the highest score so far.
        events: what happened that the user should know, in words.
        stopped: whether a signal has asked it to end.
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
    def total(self) -> int:
        """Optimizer steps in all."""
        return self.config.epochs * len(self.loader)

    @property
    def ends_epoch(self) -> bool:
        """Whether the step just done was the last of its epoch."""
        return self.batch == len(self.loader)

    def note(self, losses: dict[str, float], images: int, seconds: float) -> None:
        """Write down a step that is done."""
        self.steps, self.batch = self.steps + 1, self.batch + 1
        self.images, self.seconds = self.images + images, self.seconds + seconds
        lr = self.optimizer.param_groups[-1]["lr"]
        self.history.append(Step(self.steps, sum(losses.values()), losses, lr, self.seconds, self.images))

    def halve(self, reason: str) -> None:
        """From now on half as many images at a time.

        Raises:
            CourseError: it was one already.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch == 1:
            raise CourseError(f"Not even one image fits into memory ({reason}). {self.advise()}")
        self.micro_batch = -(-self.micro_batch // 2)
        self.events.append(
            f"step {self.steps + 1}: out of memory. From now on {self.micro_batch} images at a time, their gradients "
            f"added up to {self.config.batch_size} as before; to begin so: --micro-batch {self.micro_batch}"
        )


def begin(
    model: nn.Module, dataset: CocoDataset, config: TrainConfig, device: torch.device | None, advise: Callable[[], str]
) -> Run:
    """A run before its first step. Arguments and errors as in `train`."""
    check_config(config)
    device = device or best_device()
    torch.manual_seed(config.seed)
    model.to(device).train()
    distributed.same_start(model)
    events = compile_dense(model) if config.compile else []
    augment = mirror if config.flip else unchanged
    loader = make_loader(dataset, config.batch_size, seed=config.seed, augment=augment, workers=config.workers)
    return Run(
        model,
        config,
        device,
        loader,
        make_optimizer(model, config),
        torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
        Clock(device),
        min(config.micro_batch or config.batch_size, -(-config.batch_size // distributed.world())),
        advise,
        events=events,
    )


def finished(run: Run) -> Sequence[str]:
    """What there is to say at the end."""
    long_side = max(run.loader.dataset.size(0)) if len(run.loader.dataset) else 0
    trained = getattr(getattr(run.model, "options", None), "max_size", long_side)
    lines = [run.loader.report(), *run.events, run.clock.verdict(run.config.workers, long_side / max(1, trained))]
    return [line for line in lines if line]
