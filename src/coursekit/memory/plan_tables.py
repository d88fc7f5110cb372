"""A plan as tables for the terminal, as JSON, and as the Markdown table in docs/training.md."""

from typing import Any

import msgspec
import torch
from rich.table import Table
from rich.text import Text

from coursekit.core.config import FASTER_RCNN, KIND_NAMES
from coursekit.core.device import half_precision_advice
from coursekit.core.errors import command
from coursekit.memory.planner import BATCHES, EFFECTIVE_BATCH, SIZES, Candidate, Card, Plan
from coursekit.memory.step_config import GIB, KINDS, MIB, Peak, StepConfig

STYLES = {"fits": "green", "tight": "yellow", "does not fit": "dim"}
CPU = torch.device("cpu")  # a plan may be for another card than the one here
SHORT_VERDICTS = {"fits": "fits", "tight": "tight", "does not fit": "no"}


def sizes_table(plan: Plan) -> Table:
    """Make the table of GiB and verdict by size and batch."""
    card, config = plan.card, plan.config
    title = Text(
        f"{_named(config)}, {config.precision}, {config.frozen_stages} stages frozen, {config.optimizer}:\n"
        f"GiB of the {card.usable:.1f} usable of {card.vram:.3g}"
    )
    table = Table("long side", title=title, caption="no: does not fit")
    for batch in BATCHES:
        table.add_column(f"{batch} image{'s' if batch > 1 else ''}", justify="right")
    for size in SIZES:
        table.add_row(size, *(_styled(candidate) for candidate in card.candidates if candidate.size == size))
    return table


def recommendation(plan: Plan) -> str:
    """Describe the recommended configuration: a sentence, the command, and two hints."""
    chosen, config = plan.card.recommended, plan.config
    if chosen is None:
        return "Not even one image of the smallest size fits. Take a smaller backbone, or train on the CPU."
    train = command("coursekit", "train", *kind_option(config.kind), "--backbone", config.backbone)
    repeats = f", {plan.card.accumulation} times per step" if plan.card.accumulation > 1 else ""
    return (
        f"Start with a long side of {chosen.size} and {chosen.batch} images at a time{repeats}: "
        f"{_gib(chosen.peak)} GiB.\n"
        f"  {train} --size {chosen.size} "
        f"--frozen-stages {config.frozen_stages} --batch {EFFECTIVE_BATCH} --micro-batch {chosen.batch} "
        f"--precision {config.precision}\n"
        f"{half_precision_advice(CPU)}\n"
        "Half the long side takes a quarter of the time, so try a change there first."
    )


def kind_option(kind: str) -> list[str]:
    """Return the option of `coursekit train` that names a kind of detector; nothing for the default."""
    return [] if kind == FASTER_RCNN else ["--kind", kind]


def peak_table(peak: Peak) -> Table:
    """Make the table of a peak by kind, in MiB."""
    table = Table(*KINDS, "total", title="where this memory goes, MiB")
    table.add_row(*(f"{getattr(peak, kind) / MIB:,.0f}" for kind in KINDS), f"{peak.total / MIB:,.0f}")
    return table


def cards_table(plan: Plan) -> Table:
    """Make the table of what to start with on the other cards."""
    columns = "card, GB", "usable", "long side", "images at a time", "times per step", "GiB"
    table = Table(*columns, title="other cards")
    for card in plan.others:
        table.add_row(f"{card.vram:g}", f"{card.usable:.1f}", *_recommended_cells(card))
    return table


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan for programs. Memory is in MiB, that of cards in GiB."""
    config, constants = plan.config, plan.constants
    return {
        "kind": config.kind,
        "backbone": config.backbone,
        "precision": config.precision,
        "frozen_stages": config.frozen_stages,
        "optimizer": config.optimizer,
        "num_classes": config.num_classes,
        "effective_batch": EFFECTIVE_BATCH,
        "constants": msgspec.to_builtins(constants),
        **_card_json(plan.card),
        "fits": [_candidate_json(candidate) for candidate in plan.card.candidates],
        "cards": [_card_json(card) for card in plan.others],
    }


def markdown_table(plan: Plan) -> str:
    """Return the table in docs/training.md: the largest batch that fits, by card and size. Recommendations are bold."""
    lines = [f"| card | usable | {' | '.join(SIZES)} |", "|---|---|" + "---|" * len(SIZES)]
    for card in plan.others:
        cells = [_batch_cell(card, size) for size in SIZES]
        lines.append(f"| {card.vram:g} GB | {card.usable:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _styled(candidate: Candidate) -> str:
    return f"[{STYLES[candidate.verdict]}]{_gib(candidate.peak)} {SHORT_VERDICTS[candidate.verdict]}"


def _recommended_cells(card: Card) -> list[str]:
    chosen = card.recommended
    if chosen is None:
        return ["nothing fits", "", "", ""]
    return [chosen.size, str(chosen.batch), str(card.accumulation), _gib(chosen.peak)]


def _card_json(card: Card) -> dict[str, Any]:
    chosen = card.recommended
    recommended = None if chosen is None else _candidate_json(chosen) | {"accumulation": card.accumulation}
    return {"vram_gib": card.vram, "usable_gib": round(card.usable, 3), "recommended": recommended}


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    height, width = SIZES[candidate.size]
    return {
        "size": candidate.size,
        "height": height,
        "width": width,
        "batch": candidate.batch,
        "verdict": candidate.verdict,
        "peak_mib": round(candidate.peak.total / MIB, 1),
        **{f"{kind}_mib": round(getattr(candidate.peak, kind) / MIB, 1) for kind in KINDS},
    }


def _batch_cell(card: Card, size: str) -> str:
    fitting = [each for each in card.candidates if each.size == size and each.verdict == "fits"]
    if not fitting:
        return "–"
    largest = max(fitting, key=lambda each: each.batch)
    return f"**{largest.batch}**" if largest is card.recommended else str(largest.batch)


def _gib(peak: Peak) -> str:
    return f"{peak.total / GIB:.1f}"


def _named(config: StepConfig) -> str:
    return config.backbone if config.kind == FASTER_RCNN else f"{config.backbone}, {KIND_NAMES[config.kind]}"
