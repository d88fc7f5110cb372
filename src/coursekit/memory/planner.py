"""What fits on a card, and which configuration to start with."""

from collections.abc import Iterator
from itertools import product

import msgspec
from tqdm.auto import tqdm

from coursekit.core.config import DEFAULT_BACKBONE, FASTER_RCNN
from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size
from coursekit.data.padded_images import padded_side
from coursekit.memory.budget import Constants, load_constants, usable, verdict
from coursekit.memory.predict_peak import predict
from coursekit.memory.step_config import GIB, Peak, StepConfig

FULL_COCO = "800 × 1333"  # what most papers use: a short side of 800 pixels and a long side of at most 1333
# (height, width) by long side. A batch is padded to its largest image, and some images are square, so assume a square.
SIZES: dict[str, Size] = {
    "320": (320, 320), "480": (480, 480), "640": (640, 640), "800": (800, 800), FULL_COCO: (800, 1333),
}  # fmt: skip
LONG_SIDES = tuple(SIZES)[:-1]  # what `coursekit train --size` takes
BATCHES = (1, 2, 4, 8, 16)  # images at a time
EFFECTIVE_BATCH = 16  # images per optimizer step
MIN_BATCH = 4  # images at a time: with fewer, the GPU idles, and a smaller image size is the better choice
CARDS = (2, 4, 6, 8, 12, 16, 24)  # GiB

PeakTable = dict[tuple[str, int], Peak]  # by size, a name in SIZES, and batch


class Candidate(msgspec.Struct, frozen=True):
    """An image size and a batch, and whether they fit.

    Attributes:
        size: a name in SIZES.
        batch: images at a time.
        peak: the memory that they need.
        verdict: "fits", "tight" or "does not fit".
    """

    size: str
    batch: int
    peak: Peak
    verdict: str


class Card(msgspec.Struct, frozen=True):
    """A card, and what to start with on it.

    Attributes:
        vram, usable: its memory in GiB, in total and for tensors.
        candidates: each size with each batch.
        recommended: what to start with; None if not even one image of the smallest size fits.
    """

    vram: float
    usable: float
    candidates: list[Candidate]
    recommended: Candidate | None

    @property
    def accumulation(self) -> int:
        """Return how many micro-batches make up the effective batch; 0 if nothing fits."""
        return EFFECTIVE_BATCH // self.recommended.batch if self.recommended else 0


class Plan(msgspec.Struct, frozen=True):
    """What fits on the card asked for, and on the usual cards.

    Attributes:
        config: what all candidates share: backbone, precision, frozen stages, optimizer, classes, kind.
        constants: the memory that a card needs besides tensors.
        card: the card asked for.
        others: the usual cards.
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
    kind: str = FASTER_RCNN,
) -> Plan:
    """Plan what fits on a card of `vram` GiB. Takes some seconds, with a progress bar.

    Raises:
        ConfigError: `vram` is not positive, or the backbone, precision, optimizer or kind is unknown.
        DataError: the measured constants can't be read.
    """
    if not vram > 0:
        raise ConfigError(f"--vram {vram:g}: give the card's memory in GB, such as 4.")
    config = StepConfig(
        backbone=backbone, precision=precision, frozen_stages=frozen_stages, optimizer=optimizer,
        accumulates=True, num_classes=num_classes, kind=kind,
    )  # fmt: skip
    constants, peaks = load_constants(), peaks_of(config)
    cards = [_make_card(gib, peaks, constants) for gib in (vram, *CARDS)]
    return Plan(config, constants, cards[0], cards[1:])


def peaks_of(config: StepConfig) -> PeakTable:
    """Return the peak of each size and batch. The size and batch of `config` are ignored.

    The memory held at a given moment of a step is linear in the batch and linear in the area, and the peak is the
    maximum over all moments. So four predictions are enough: interpolating between them is exact, or slightly too high
    if their peaks are at different moments (by at most a tenth, seen with small models and images).
    """
    sizes, batches = (next(iter(SIZES)), FULL_COCO), (BATCHES[0], BATCHES[-1])
    corners = {}
    for size, batch in tqdm(list(product(sizes, batches)), desc="predicting", leave=False, delay=2):
        corners[size, batch] = predict(msgspec.structs.replace(config, size=SIZES[size], batch=batch))
    smallest, largest = _area(sizes[0]), _area(sizes[1])
    peaks = {}
    for size, batch in product(SIZES, BATCHES):
        share = (batch - batches[0]) / (batches[1] - batches[0])
        low, high = (interpolate(corners[end, batches[0]], corners[end, batches[1]], share) for end in sizes)
        peaks[size, batch] = interpolate(low, high, (_area(size) - smallest) / (largest - smallest))
    return peaks


def interpolate(first: Peak, last: Peak, share: float) -> Peak:
    """Interpolate linearly between two peaks, kind by kind: `first` at a share of 0, `last` at 1."""
    ends = zip(msgspec.structs.astuple(first), msgspec.structs.astuple(last), strict=True)
    return Peak(*(round((1 - share) * low + share * high) for low, high in ends))


def _area(size: str) -> int:
    height, width = map(padded_side, SIZES[size])
    return height * width


def _make_card(vram: float, peaks: PeakTable, constants: Constants) -> Card:
    budget = usable(vram, constants)
    candidates = [Candidate(size, batch, peak, verdict(peak.total, budget)) for (size, batch), peak in peaks.items()]
    return Card(vram, budget / GIB, candidates, recommend(candidates))


def recommend(candidates: list[Candidate]) -> Candidate | None:
    """Return the largest long side at which 4 images fit, with its largest batch.

    If there is none, return the largest batch of the smallest size that fits; None if nothing does.
    """
    fitting = [each for each in candidates if each.verdict == "fits" and each.size in LONG_SIDES]
    large_batches = [each for each in fitting if each.batch >= MIN_BATCH]
    smallest_size = [each for each in fitting if each.size == LONG_SIDES[0]]
    return max(large_batches or smallest_size, key=lambda each: (LONG_SIDES.index(each.size), each.batch), default=None)


def advice(config: StepConfig, vram: float) -> str:
    """Return advice for a step that ran out of memory: what it needs, and the smallest change after which it fits.

    Args:
        config: the step that ran out of memory.
        vram: memory of the card in GiB.

    Raises:
        ConfigError: the config can't be trained.
        DataError: the measured constants can't be read.
    """
    budget = usable(vram, load_constants())
    needed = predict(config).total
    start = f"This needs {needed / GIB:.1f} GiB, and {budget / GIB:.1f} of {vram:.3g} GiB are usable"
    if verdict(needed, budget) == "fits":
        return f"{start}: it should fit. Close other programs that use the card, or set PYTORCH_CUDA_ALLOC_CONF=" \
            "expandable_segments:True."  # fmt: skip
    options: dict[str, str] = {}  # a later value of an option replaces the earlier one
    for smaller, option, value in _smaller(config):
        options.pop(option, None)
        options[option] = value
        if verdict(total := predict(smaller).total, budget) == "fits":
            words = " ".join(f"{name} {value}".strip() for name, value in options.items())
            return f"{start}. With {words} it needs {total / GIB:.1f} GiB."
    return f"{start}. No configuration fits: train on the CPU, or on a larger card."


def _smaller(config: StepConfig) -> Iterator[tuple[StepConfig, str, str]]:
    """Yield ever smaller configs, each with the option and value that changed; the cheapest changes come first."""
    if config.precision == "fp32":
        config = msgspec.structs.replace(config, precision="bf16")
        yield config, "--precision", "bf16"
    while config.batch > 1:
        config = msgspec.structs.replace(config, batch=-(-config.batch // 2), accumulates=True)
        yield config, "--micro-batch", str(config.batch)
    if not config.checkpoints:
        config = msgspec.structs.replace(config, checkpoints=True)
        yield config, "--checkpoint-activations", ""
    if config.frozen_stages < 3:
        config = msgspec.structs.replace(config, frozen_stages=3)
        yield config, "--frozen-stages", "3"
    for side in sorted(map(int, LONG_SIDES), reverse=True):
        if side < max(config.size):
            config = msgspec.structs.replace(config, size=(side, side))
            yield config, "--size", str(side)
    if config.backbone != DEFAULT_BACKBONE:
        yield msgspec.structs.replace(config, backbone=DEFAULT_BACKBONE), "--backbone", DEFAULT_BACKBONE
