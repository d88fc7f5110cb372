"""The configuration of a detector and of its training.

The command line takes its defaults from here, so this module imports nothing heavy: `--help` has to be fast.
"""

import math

import msgspec

from coursekit.core.errors import ConfigError

DEFAULT_BACKBONE = "tf_efficientnet_lite0"  # its ImageNet weights are installed with the course
KINDS = FASTER_RCNN, FCOS_KIND = "faster_rcnn", "fcos"  # of detectors, with two stages and with one
KIND_NAMES = {FASTER_RCNN: "Faster R-CNN", FCOS_KIND: "FCOS"}
OPTIMIZERS, PRECISIONS = ("adamw", "sgd"), ("auto", "fp32", "bf16", "fp16")
BACKBONE_LR_DIVISOR = 10  # the pretrained backbone learns with a tenth of the learning rate
EVALUATE_EVERY = 1  # epochs
DEFAULT_LR = 1e-3
# Beyond these, a number is a mistake or meant to exhaust the machine: a run from somebody else brings its own.
DETECTOR_LIMITS = {
    "num_classes": (1, 10_000), "size": (64, 4096), "channels": (1, 1024), "hidden": (1, 8192),
    "frozen_stages": (0, 99),
}  # fmt: skip
TRAINING_LIMITS = {
    "epochs": 1_000_000, "batch_size": 65_536, "micro_batch": 65_536, "warmup_steps": 10**9, "workers": 256,
    "checkpoint_every": 10**9, "seed": 2**63 - 1,
}  # fmt: skip


class DetectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of `build_detector`, stored with a run.

    Attributes:
        num_classes: number of classes, without the background (torchvision includes it).
        backbone: any timm model that supports `features_only`.
        size: long side in pixels to which images are resized.
        channels: channels of each pyramid level.
        hidden: width of the box head; an FCOS has none.
        frozen_stages: number of backbone stages, counted from the image, that keep their pretrained weights.
        kind: "faster_rcnn", a detector with two stages, or "fcos", with one.
    """

    num_classes: int
    backbone: str = DEFAULT_BACKBONE
    size: int = 320
    channels: int = 96
    hidden: int = 256
    frozen_stages: int = 3
    kind: str = FASTER_RCNN


class TrainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of a training run, stored with it.

    Attributes:
        epochs: passes over the data set.
        batch_size: images per optimizer step, over all processes.
        micro_batch: images per forward pass on one device; their gradients accumulate. None is the whole batch.
        lr: peak learning rate. SGD needs 10 to 20 times as much as AdamW.
        backbone_lr: peak learning rate of the pretrained backbone.
        weight_decay: weight decay of weights; norms and biases have none.
        warmup_steps: steps in which the learning rate rises from 0, before it falls along a cosine.
        clip_norm: gradients are clipped to this norm.
        optimizer: "adamw", or "sgd" with a momentum of 0.9.
        precision: "fp32", "bf16", "fp16" (with loss scaling), or "auto": a step in float32 and one in 16 bits are
            measured at the start, and the faster one is used, also after resuming.
        compile: compile the dense part with torch.compile, and pad batches to few sizes.
        checkpoint_activations: recompute the backbone's activations in backward: a third more time for less memory.
        flip: mirror every other image.
        workers: processes that load data ahead of time, for each training process; None takes what the machine has.
        seed: seed of all random numbers.
        checkpoint_every: steps between checkpoints; the end of each epoch has one, too.
    """

    epochs: int = 12
    batch_size: int = 8
    micro_batch: int | None = None
    lr: float = DEFAULT_LR
    backbone_lr: float = DEFAULT_LR / BACKBONE_LR_DIVISOR
    weight_decay: float = 1e-4
    warmup_steps: int = 30
    clip_norm: float = 10.0
    optimizer: str = "adamw"
    precision: str = "auto"
    compile: bool = False
    checkpoint_activations: bool = False
    flip: bool = True
    workers: int | None = None
    seed: int = 0
    checkpoint_every: int = 200


def check_detector(config: DetectorConfig) -> None:
    """Check that each number can be used, before anything of its size is built.

    Raises:
        ConfigError: names the first value that can't.
    """
    check_kind(config.kind)
    for name, (least, most) in DETECTOR_LIMITS.items():
        if not least <= getattr(config, name) <= most:
            raise ConfigError(f"{name} is {_short(getattr(config, name))}: use a number from {least:,} to {most:,}.")


def check_kind(kind: str) -> None:
    """Check that there is such a kind of detector.

    Raises:
        ConfigError: there is none.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind is {kind[:40]!r}: choose one of {', '.join(KINDS)}.")


def check_config(config: TrainConfig) -> None:
    """Check that each value can be used.

    Raises:
        ConfigError: names the first value that can't.
    """
    for name in ("epochs", "batch_size", "micro_batch", "lr", "backbone_lr", "clip_norm", "checkpoint_every"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value}: it must be greater than 0.")
    for name in ("weight_decay", "warmup_steps", "workers", "seed"):
        if not (getattr(config, name) or 0) >= 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: it can't be negative.")
    for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
        if getattr(config, name) not in known:
            raise ConfigError(f"{name} is {getattr(config, name)!r}: choose one of {', '.join(known)}.")
    for name, most in TRAINING_LIMITS.items():
        if (getattr(config, name) or 0) > most:
            raise ConfigError(f"{name} is {_short(getattr(config, name))}: use at most {most:,}.")


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**20 else f"about {'-' if number < 0 else ''}2^{number.bit_length()}"
