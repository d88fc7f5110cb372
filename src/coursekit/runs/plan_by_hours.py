"""What to train in a given time: recipe, image size, batch and epochs. `coursekit plan --hours 3` prints it."""

import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from coursekit.core.config import DEFAULT_BACKBONE, FASTER_RCNN
from coursekit.core.device import best_device, choose_precision
from coursekit.core.errors import ConfigError, command, did_you_mean
from coursekit.data.subsets.recipe import Recipe, find_recipe, names
from coursekit.memory.plan_tables import kind_option
from coursekit.memory.planner import EFFECTIVE_BATCH, LONG_SIDES, Candidate, Card
from coursekit.memory.step import build, make_optimizer, train_step, warm_up
from coursekit.memory.step_config import StepConfig

MIN_EPOCHS, MAX_EPOCHS = 8, 40  # with fewer it has hardly learned, with more it overfits
FOR_TRAINING = 0.9  # of the time; the rest is for scoring and reading
MEASURED_AT, MEASURED_BATCH, TIMED_STEPS = 320, 4, 3  # pixels, images, steps
COCO_IMAGES = {"train2017": 118_287, "val2017": 5_000}
# Float32 operations per second and memory in GiB, as the makers state them.
CARDS = {
    "GTX 1650": (3.0e12, 4), "RTX 3050 Laptop": (5.5e12, 4), "RTX 2060": (6.5e12, 6), "RTX 3060": (12.7e12, 12),
    "T4": (8.1e12, 16),
}  # fmt: skip
UTILIZATION = 0.15  # the share of these that a small detector reaches: a guess, until somebody measures it
STEP_PER_FORWARD = 3  # operations: backward takes about twice those of forward


@dataclass(frozen=True)
class Proposal:
    """What a recipe allows in the time.

    Attributes:
        recipe: its name.
        images: of its train split.
        size: long side in pixels.
        epochs: as many as fit, at most MAX_EPOCHS; 0 if there is no time for one.
    """

    recipe: str
    images: int
    size: int
    epochs: int


def named_card(name: str) -> tuple[str, float, float]:
    """Return the name of a card, its operations per second, and its memory in GiB.

    Raises:
        ConfigError: it is not in CARDS.
    """
    for known, (rate, gib) in CARDS.items():
        if known.lower() == name.lower():
            return known, rate, gib
    hint = did_you_mean(name, CARDS)
    raise ConfigError(
        f"--card {name}: no such card in the list{hint}. Choose from {', '.join(CARDS)}; for any other, run the "
        "command on the machine that has it."
    )


def speed_here(backbone: str = DEFAULT_BACKBONE, kind: str = FASTER_RCNN) -> float:
    """Train a few steps, and return how many images of 320 × 320 pixels this machine trains on in a second."""
    device = best_device()
    config = StepConfig(backbone=backbone, size=(MEASURED_AT, MEASURED_AT), batch=MEASURED_BATCH, kind=kind)
    precision = choose_precision(device, "auto") if device.type == "cuda" else "fp32"
    model = build(config).to(device)
    optimizer = make_optimizer(model, config.optimizer)
    warm_up(optimizer)
    images, targets = _random_batch(device)
    train_step(model, optimizer, images, targets, precision)
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        train_step(model, optimizer, images, targets, precision)
    _wait_for(device)
    return TIMED_STEPS * MEASURED_BATCH / (time.perf_counter() - start)


def speed_of_card(rate: float, backbone: str = DEFAULT_BACKBONE, kind: str = FASTER_RCNN) -> float:
    """Estimate how many images of 320 × 320 pixels a card trains on in a second.

    Args:
        rate: its operations per second.
        backbone: any timm model with features_only.
        kind: of the detector, see `build_detector`.
    """
    model = build(StepConfig(backbone=backbone, size=(MEASURED_AT, MEASURED_AT), batch=1, kind=kind))
    images, targets = _random_batch(torch.device("cpu"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images[:1], targets[:1])
    return UTILIZATION * rate / (STEP_PER_FORWARD * counter.get_total_flops())


def proposals(hours: float, speed: float, card: Card) -> list[Proposal]:
    """Return what each recipe allows, the one to take first.

    It is the largest recipe with time for MIN_EPOCHS, at the largest size that leaves that time; if there is none, the
    one with the most epochs.

    Args:
        hours: the time.
        speed: images of 320 × 320 pixels per second.
        card: what fits on the card.

    Raises:
        ConfigError: `hours` is not positive.
    """
    if not 0 < hours < float("inf"):
        raise ConfigError(f"--hours {hours:g}: give a number of hours greater than 0, such as 3.")
    images = FOR_TRAINING * 3600 * hours * speed  # of 320 × 320 pixels, in all epochs
    found = [_proposal(find_recipe(name), images, card) for name in names()]
    return sorted(found, key=_preference, reverse=True)


def train_command(proposal: Proposal, card: Card, kind: str = FASTER_RCNN) -> str:
    """Return the command that trains it."""
    at_a_time = max((each.batch for each in card.candidates if _fits(each, proposal.size)), default=1)
    batch = ["--batch", EFFECTIVE_BATCH, *(["--micro-batch", at_a_time] if at_a_time < EFFECTIVE_BATCH else [])]
    parts = ["--data", proposal.recipe, "--size", proposal.size, "--epochs", proposal.epochs, *batch]
    return command("coursekit", "train", *kind_option(kind), *map(str, parts), "--out", f"runs/{proposal.recipe}")


def _preference(proposal: Proposal) -> tuple[bool, int]:
    is_enough = proposal.epochs >= MIN_EPOCHS
    return is_enough, proposal.images if is_enough else proposal.epochs


def _proposal(recipe: Recipe, images: float, card: Card) -> Proposal:
    count = recipe.images["train"] or COCO_IMAGES[recipe.split_of.get("train", "train2017")]
    longest = recipe.long_side or max(map(int, LONG_SIDES))
    sizes = [int(size) for size in LONG_SIDES if int(size) <= longest] or [int(LONG_SIDES[0])]
    sizes = [size for size in sizes if any(_fits(each, size) for each in card.candidates)] or sizes[:1]
    epochs = {size: int(images * (MEASURED_AT / size) ** 2 / count) for size in sizes}
    size = max((size for size in sizes if epochs[size] >= MIN_EPOCHS), default=sizes[0])
    return Proposal(recipe.name, count, size, min(MAX_EPOCHS, epochs[size]))


def _fits(candidate: Candidate, size: int) -> bool:
    return candidate.size == str(size) and candidate.verdict == "fits"


def _random_batch(device: torch.device) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, MEASURED_AT, MEASURED_AT, generator=generator).to(device) for _ in range(MEASURED_BATCH)]
    boxes = torch.tensor([[20.0, 30.0, 90.0, 120.0], [150.0, 100.0, 300.0, 280.0], [40.0, 200.0, 70.0, 240.0]])
    targets = [{"boxes": boxes.to(device), "labels": torch.tensor([1, 2, 3], device=device)} for _ in images]
    return images, targets


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
