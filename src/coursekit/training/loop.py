"""The training loop: plain, visible, in one piece."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from coursekit.data.augment import mirror, unchanged
from coursekit.data.dataset import CocoDataset, Target
from coursekit.data.loader import make_loader
from coursekit.errors import CourseError, SettingError
from coursekit.precision import autocast, best_device


class Settings(msgspec.Struct, frozen=True):
    """What a training run can be told. Learning rates are those of AdamW."""

    epochs: int = 12
    batch_size: int = 8
    lr: float = 1e-3
    backbone_lr: float = 1e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 30
    clip_norm: float = 10.0
    flip: bool = True
    workers: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What happened in one optimizer step. `seconds` is since the start of the run."""

    step: int
    loss: float
    losses: dict[str, float]
    lr: float
    seconds: float
    images: int


def train(
    model: nn.Module, dataset: CocoDataset, settings: Settings | None = None, *, device: torch.device | None = None
) -> list[Step]:
    """Train a detector in place, with a bar.

    Args:
        model: takes a list of float images and a list of targets, and gives a dict of losses.
        dataset: what to train on.
        settings: see `Settings`.
        device: where to; the model is moved there.

    Returns:
        One `Step` for each optimizer step.

    Raises:
        SettingError: a setting can't be used.
        CourseError: the loss is no longer a number.
    """
    settings = settings or Settings()
    check_settings(settings)
    device = device or best_device()
    torch.manual_seed(settings.seed)
    model.to(device).train()
    augment = mirror if settings.flip else unchanged
    loader = make_loader(dataset, settings.batch_size, seed=settings.seed, augment=augment, workers=settings.workers)
    total = settings.epochs * len(loader)
    optimizer = make_optimizer(model, settings)
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, settings.warmup_steps))
    history: list[Step] = []
    start, images_seen = time.perf_counter(), 0
    with tqdm(total=settings.epochs * len(dataset), desc="training", unit="img", smoothing=0.1) as bar:
        for epoch in range(settings.epochs):
            for images, targets in loader.epoch(epoch):
                losses = train_step(model, images, targets, optimizer, settings.clip_norm, device)
                schedule.step()
                images_seen += len(images)
                lr = optimizer.param_groups[-1]["lr"]
                history.append(
                    Step(len(history) + 1, sum(losses.values()), losses, lr, time.perf_counter() - start, images_seen)
                )
                bar.set_postfix(loss=f"{history[-1].loss:.3f}", refresh=False)
                bar.update(len(images))
    if loader.report():
        tqdm.write(loader.report())
    return history


def train_step(
    model: nn.Module,
    images: Iterable[Tensor],
    targets: Iterable[Target],
    optimizer: torch.optim.Optimizer,
    clip_norm: float,
    device: torch.device,
    precision: str = "auto",
) -> dict[str, float]:
    """One batch: forward, backward, clip, step. Returns the losses by name.

    Raises:
        CourseError: a loss is NaN or infinite; the weights are still those from before the step.
    """
    inputs = [image.to(device, non_blocking=True) / 255 for image in images]
    truth = [{"boxes": target["boxes"].to(device), "labels": target["labels"].to(device)} for target in targets]
    with autocast(device, precision):
        losses: dict[str, Tensor] = model(inputs, truth)
    total = torch.stack(list(losses.values())).sum()
    values = {name: value.item() for name, value in losses.items()}  # waits for the GPU
    if not all(math.isfinite(value) for value in values.values()):
        raise _not_finite(values, targets)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return values


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW, gentler on the pre-trained backbone, with no weight decay on norms and biases."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".body." in name, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": settings.backbone_lr if in_backbone else settings.lr,
                "weight_decay": settings.weight_decay if is_weight else 0.0,
            }
            for (in_backbone, is_weight), parameters in sorted(groups.items(), reverse=True, key=lambda group: group[0])
        ],
        fused=True,
    )


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """What to multiply the learning rate with: up in a line for `warmup` steps, then down half a cosine to 0.

    Step 0 already moves: it gets 1 / (warmup + 1). Cosine: Loshchilov and Hutter, *SGDR*, 2017, equation 5.

    >>> [round(warmup_cosine(step, total=5, warmup=1), 2) for step in range(6)]
    [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup)))


def check_settings(settings: Settings) -> None:
    """See that every number can be used.

    Raises:
        SettingError: naming the first that can't.
    """
    for name in ("epochs", "batch_size", "lr", "backbone_lr"):
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            raise SettingError(f"{name} is {value}: it must be greater than 0.")


def _not_finite(losses: dict[str, float], targets: Iterable[Target]) -> CourseError:
    bad = ", ".join(f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value))
    images = ", ".join(str(target["image_id"]) for target in targets)
    return CourseError(
        f"The loss is no longer a number ({bad}) on the images {images}. Try a tenth of the learning rate."
    )
