"""The part of a configuration that decides the memory of a training step, and the memory that it takes."""

import msgspec

from coursekit.core.config import DEFAULT_BACKBONE, FASTER_RCNN, OPTIMIZERS, check_kind
from coursekit.core.errors import ConfigError

DEVICES, PRECISIONS = ("cuda", "cpu"), ("fp32", "bf16", "fp16")
KINDS = ("weights", "gradients", "optimizer", "activations", "rest")
MIB, GIB = 2**20, 2**30  # bytes


class StepConfig(msgspec.Struct, frozen=True):
    """A training step of the detector.

    Attributes:
        backbone, channels, hidden, num_classes, frozen_stages, kind: arguments of `build_detector`.
        size: (height, width) of the images in pixels, after resizing. A batch is padded to its largest image, so take
            the largest of the data set.
        batch: images per forward pass.
        precision: "fp32", or mixed precision in "bf16" or "fp16", which take the same memory.
        optimizer: "adamw" or "sgd".
        accumulates: whether the gradients of an earlier micro-batch already exist.
        checkpoints: whether the backbone's activations are recomputed in backward.
        boxes: objects per image. The fullest image counts; COCO's train2017 goes up to 93.
        folds_norm: whether batch norm is folded into the convolutions, as in our detector; else it stays as in timm.
        device: "cuda" or "cpu". Their kernels for RoIAlign and for depthwise convolutions need different memory.
    """

    backbone: str = DEFAULT_BACKBONE
    size: tuple[int, int] = (320, 320)
    batch: int = 8
    precision: str = "bf16"
    frozen_stages: int = 3
    optimizer: str = "adamw"
    accumulates: bool = False
    num_classes: int = 80
    channels: int = 96
    hidden: int = 256
    boxes: int = 93
    folds_norm: bool = True
    device: str = "cuda"
    checkpoints: bool = False
    kind: str = FASTER_RCNN


class Peak(msgspec.Struct, frozen=True):
    """Bytes held by tensors at the peak of a training step.

    Attributes:
        weights: weights of the detector, trained or frozen, in float32.
        gradients: those that exist at that moment.
        optimizer: the optimizer's state of each trained weight.
        activations: what forward keeps for backward, and its temporary tensors.
        rest: temporary tensors of backward and of the update.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    rest: int

    @property
    def total(self) -> int:
        """Return the sum of all kinds."""
        return sum(msgspec.structs.astuple(self))


def check_step_config(config: StepConfig) -> None:
    """Check that a training step can be taken with this config.

    Raises:
        ConfigError: names the first number or name that can't be used.
    """
    numbers = {"batch": config.batch, "height": config.size[0], "width": config.size[1]}
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1.")
    check_kind(config.kind)
    for name, known in (("device", DEVICES), ("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
        if getattr(config, name) not in known:
            raise ConfigError(f"{name} is {getattr(config, name)!r}: choose one of {', '.join(known)}.")
