"""What fits on a card, and what to begin with."""

from collections.abc import Iterator
from itertools import product

import msgspec
from tqdm.auto import tqdm

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError
from coursekit.detector.resize import DIVISOR
from coursekit.memory.budget import Constants, load_constants, usable, verdict
from coursekit.memory.predict import predict
from coursekit.memory.step_config import GIB, Peak, StepConfig

FULL_COCO = "800 × 1333"
# By long side. A batch is padded to its largest image, and some are square, so a square it is. The last one is what
# most papers take: the short side 800, the long one 1333 at most.
SIZES = {"320": (320, 320), "480": (480, 480), "640": (640, 640), "800": (800, 800), FULL_COCO: (800, 1333)}
LONG_SIDES = tuple(SIZES)[:-1]  # what `coursekit train --size` takes
BATCHES = (1, 2, 4, 8, 16)
EFFECTIVE = 16  # images an optimizer step
FEWEST = 4  # at a time: with fewer a GPU waits, and a smaller image would have been the better choice
CARDS = (2, 4, 6, 8, 12, 16, 24)  # GiB


class Fit(msgspec.Struct, frozen=True):
    """Whether a size and a batch fit.

    Attributes:
        size: a name in SIZES.
        batch: images at a time.
        peak: what they need.
        verdict: "fits", "tight" or "does not fit".
    """

    size: str
    batch: int
    peak: Peak
    verdict: str


class Card(msgspec.Struct, frozen=True):
    """A card and what to begin with on it; `recommended` is None where not one image of the smallest size fits.

    Attributes:
        vram, usable: GiB in all, and for tensors.
        fits: each size by each batch.
    """

    vram: float
    usable: float
    fits: list[Fit]
    recommended: Fit | None

    @property
    def accumulation(self) -> int:
        """Batches whose gradients are added up to an effective batch of 16."""
        return EFFECTIVE // self.recommended.batch if self.recommended else 0


class Plan(msgspec.Struct, frozen=True):
    """What fits on a card, and on the others.

    Attributes:
        config: what is common to all: backbone, precision, stages frozen, optimizer, classes.
        constants: what a card needs besides tensors.
        card: the one asked for.
        others: the usual sizes of cards.
    """

    config: StepConfig
    constants: Constants
    card: Card
    others: list[Card]


def make_plan(
    vram: float,
    backbone: str = DEFAULT_BACKBONE,
    *,
    precision: str = "bf16",
    frozen_stages: int = 3,
    optimizer: str = "adamw",
    num_classes: int = 80,
) -> Plan:
    """What fits on a card of so many GiB, with mixed precision unless told otherwise. Takes some seconds, with a bar.

    Raises:
        ConfigError: no memory, or an unknown backbone, precision or optimizer.
        DataError: the measured constants can't be read.
    """
    if not vram > 0:
        raise ConfigError(f"--vram {vram:g}: take the card's memory in GB, such as 4.")
    config = StepConfig(
        backbone=backbone, precision=precision, frozen_stages=frozen_stages, optimizer=optimizer,
        accumulates=True, num_classes=num_classes,
    )  # fmt: skip
    constants, peaks = load_constants(), peaks_of(config)
    cards = [_card(one, peaks, constants) for one in (vram, *CARDS)]
    return Plan(config, constants, cards[0], cards[1:])


def peaks_of(config: StepConfig) -> dict[tuple[str, int], Peak]:
    """Peaks by size and batch; what the config says of these is not looked at.

    What is held at any one moment of a step grows in a line with the batch, and in a line with the area, and the peak
    is the largest of these moments. So four predictions are enough: what lies between them is met, or exceeded where
    their peaks lie at different moments (by a tenth at most, seen with small models and images).
    """
    names, batches = (next(iter(SIZES)), FULL_COCO), (BATCHES[0], BATCHES[-1])
    corners = {}
    for name, batch in tqdm(list(product(names, batches)), desc="predicting", leave=False, delay=2):
        corners[name, batch] = predict(msgspec.structs.replace(config, size=SIZES[name], batch=batch))
    first, last = _area(names[0]), _area(names[1])
    found = {}
    for name, batch in product(SIZES, BATCHES):
        more = (batch - batches[0]) / (batches[1] - batches[0])
        small, large = (between(corners[end, batches[0]], corners[end, batches[1]], more) for end in names)
        found[name, batch] = between(small, large, (_area(name) - first) / (last - first))
    return found


def between(first: Peak, last: Peak, share: float) -> Peak:
    """On the line from one peak to another, kind by kind."""
    ends = zip(msgspec.structs.astuple(first), msgspec.structs.astuple(last), strict=True)
    return Peak(*(round((1 - share) * one + share * other) for one, other in ends))


def _area(name: str) -> int:
    height, width = (-(-side // DIVISOR) * DIVISOR for side in SIZES[name])
    return height * width


def _card(vram: float, peaks: dict[tuple[str, int], Peak], constants: Constants) -> Card:
    budget = usable(vram, constants)
    fits = [Fit(size, batch, peak, verdict(peak.total, budget)) for (size, batch), peak in peaks.items()]
    return Card(vram, budget / GIB, fits, recommend(fits))


def recommend(fits: list[Fit]) -> Fit | None:
    """The largest long side of which 4 images fit, with the largest batch; where there is none, the smallest size."""
    good = [one for one in fits if one.verdict == "fits" and one.size in LONG_SIDES]
    several = [one for one in good if one.batch >= FEWEST]
    few = [one for one in good if one.size == LONG_SIDES[0]]
    return max(several or few, key=lambda one: (LONG_SIDES.index(one.size), one.batch), default=None)


def advice(config: StepConfig, vram: float) -> str:
    """A sentence for somebody whose memory ran out: what the step needs, and the least change after which it fits.

    Args:
        config: what was tried.
        vram: GiB of the card.

    Raises:
        ConfigError: there is no such config.
        DataError: the measured constants can't be read.
    """
    budget = usable(vram, load_constants())
    needed = predict(config).total
    start = f"This needs {needed / GIB:.1f} GiB, and of {vram:.3g} GiB some {budget / GIB:.1f} are usable"
    if verdict(needed, budget) == "fits":
        return f"{start}: it should fit. Close what else uses the card, or set PYTORCH_CUDA_ALLOC_CONF=" \
            "expandable_segments:True."  # fmt: skip
    words: list[str] = []
    for changed, word in _smaller(config):
        words = [*(one for one in words if one.split()[0] != word.split()[0]), word]
        if verdict(total := predict(changed).total, budget) == "fits":
            return f"{start}. With {' '.join(words)} it needs {total / GIB:.1f}."
    return f"{start}. Nothing here fits on it: train on the CPU, or on a larger card."


def _smaller(config: StepConfig) -> Iterator[tuple[StepConfig, str]]:
    """TrainConfig, each smaller than the one before, with the option to set; what costs least first."""
    if config.precision == "fp32":
        config = msgspec.structs.replace(config, precision="bf16")
        yield config, "--precision bf16"
    while config.batch > 1:
        config = msgspec.structs.replace(config, batch=-(-config.batch // 2), accumulates=True)
        yield config, f"--micro-batch {config.batch}"
    if config.frozen_stages < 3:
        config = msgspec.structs.replace(config, frozen_stages=3)
        yield config, "--frozen-stages 3"
    for side in (800, 640, 480, 320):
        if side < max(config.size):
            config = msgspec.structs.replace(config, size=(side, side))
            yield config, f"--size {side}"
    if config.backbone != DEFAULT_BACKBONE:
        yield msgspec.structs.replace(config, backbone=DEFAULT_BACKBONE), f"--backbone {DEFAULT_BACKBONE}"
