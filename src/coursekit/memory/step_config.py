"""What is trained, as far as memory depends on it; and what it takes."""

import msgspec

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError

DEVICES, PRECISIONS, OPTIMIZERS = ("cuda", "cpu"), ("fp32", "bf16", "fp16"), ("adamw", "sgd")
KINDS = ("weights", "gradients", "optimizer", "activations", "rest")
MIB, GIB = 2**20, 2**30


class StepConfig(msgspec.Struct, frozen=True):
    """A training step of the detector.

    Attributes:
        backbone, channels, hidden, num_classes, frozen_stages: what `build_detector` is called with.
        size: height and width in pixels of the images, as they come out of resizing. A batch is padded to the largest
            of them, so it is the largest of the data set that counts.
        batch: images at a time.
        precision: "fp32", or mixed precision in "bf16" or "fp16", which take the same memory.
        optimizer: "adamw" or "sgd".
        accumulates: the gradients of an earlier part of the batch are there already.
        boxes: objects in an image. What matters is the fullest one; COCO's train2017 goes up to 93.
        folds_norm: batch norm is folded into the convolutions, as the detector has it; else as timm's models come.
        device: "cuda" or "cpu": their kernels for RoIAlign, and for convolutions of single channels, need other memory.
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


class Peak(msgspec.Struct, frozen=True):
    """Bytes held by tensors when a step holds most.

    Attributes:
        weights: of the detector, trained or not, in float32.
        gradients: as far as they are there at that moment.
        optimizer: what it remembers of each trained weight.
        activations: what forward keeps for backward, and what it works with.
        rest: what backward and the update work with.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    rest: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(msgspec.structs.astuple(self))


def check_step_config(config: StepConfig) -> None:
    """See that a step of it can be taken.

    Raises:
        ConfigError: naming the first number or name that can't be used.
    """
    numbers = {"batch": config.batch, "height": config.size[0], "width": config.size[1]}
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1.")
    for name, known in (("device", DEVICES), ("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
        if getattr(config, name) not in known:
            raise ConfigError(f"{name} is {getattr(config, name)!r}: take one of {', '.join(known)}.")
