"""The numbers of a detector and of its training. Imports nothing heavy: `--help` shows these defaults."""

import math

import msgspec

from coursekit.core.errors import ConfigError

DEFAULT_BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights are installed with the course
OPTIMIZERS, PRECISIONS = ("adamw", "sgd"), ("auto", "fp32", "bf16", "fp16")


class DetectorConfig(msgspec.Struct, frozen=True):
    """The arguments of `build_detector`; they are stored with a run.

    Attributes:
        num_classes: classes to find, without the background (torchvision counts it in).
        backbone: any timm model that can be `features_only`.
        size: long side in pixels that images are resized to.
        channels: channels of every pyramid level.
        hidden: width of the box head.
        frozen_stages: first stages of the backbone that keep their pretrained weights.
    """

    num_classes: int
    backbone: str = DEFAULT_BACKBONE
    size: int = 320
    channels: int = 96
    hidden: int = 256
    frozen_stages: int = 3


class TrainConfig(msgspec.Struct, frozen=True):
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


def check_config(config: TrainConfig) -> None:
    """See that every number can be used.

    Raises:
        ConfigError: naming the first that can't.
    """
    for name in ("epochs", "batch_size", "micro_batch", "lr", "backbone_lr", "clip_norm", "checkpoint_every"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value}: it must be greater than 0.")
    for name in ("weight_decay", "warmup_steps", "workers"):
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: it can't be negative.")
    for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
        if getattr(config, name) not in known:
            raise ConfigError(f"{name} is {getattr(config, name)!r}: take one of {', '.join(known)}.")
