"""What a training run can be told."""

import math

import msgspec

from coursekit.errors import SettingError

OPTIMIZERS, PRECISIONS = ("adamw", "sgd"), ("auto", "fp32", "bf16", "fp16")


class Settings(msgspec.Struct, frozen=True):
    """The numbers of a run; they are stored with it.

    Attributes:
        epochs: how often every image is seen.
        batch_size: images an optimizer step, over all processes.
        micro_batch: images at a time on one device, their gradients added up; None is all at once.
        lr: the highest learning rate of AdamW; SGD wants ten to twenty times as much.
        backbone_lr: that of the pre-trained backbone.
        weight_decay: of weights; norms and biases have none.
        warmup_steps: so long the rate rises from 0; then it falls along a cosine.
        clip_norm: the longest gradient.
        optimizer: "adamw", or "sgd" with a momentum of 0.9.
        precision: "fp32", "bf16", "fp16" (with a loss scale), or "auto": bf16 where the device has it.
        compile: torch.compile for the dense part.
        flip: mirror every other image.
        workers: processes that read ahead, for each training process.
        seed: of everything that draws.
        checkpoint_every: steps from checkpoint to checkpoint; there is one at the end of each epoch, too.
    """

    epochs: int = 12
    batch_size: int = 8
    micro_batch: int | None = None
    lr: float = 1e-3
    backbone_lr: float = 1e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 30
    clip_norm: float = 10.0
    optimizer: str = "adamw"
    precision: str = "auto"
    compile: bool = False
    flip: bool = True
    workers: int = 0
    seed: int = 0
    checkpoint_every: int = 200


def check_settings(settings: Settings) -> None:
    """See that every number can be used.

    Raises:
        SettingError: naming the first that can't.
    """
    for name in ("epochs", "batch_size", "micro_batch", "lr", "backbone_lr", "clip_norm", "checkpoint_every"):
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SettingError(f"{name} is {value}: it must be greater than 0.")
    for name in ("weight_decay", "warmup_steps", "workers"):
        if not getattr(settings, name) >= 0:
            raise SettingError(f"{name} is {getattr(settings, name)}: it can't be negative.")
    for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
        if getattr(settings, name) not in known:
            raise SettingError(f"{name} is {getattr(settings, name)!r}: take one of {', '.join(known)}.")
