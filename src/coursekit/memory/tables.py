"""A plan as tables for the terminal, as JSON, and as a table for the README."""

from typing import Any

import msgspec
from rich.table import Table

from coursekit.memory.planner import BATCHES, EFFECTIVE, SIZES, Card, Fit, Plan
from coursekit.memory.step_config import GIB, KINDS, MIB, Peak

STYLES = {"fits": "green", "tight": "yellow", "does not fit": "dim"}
SHORT = {"fits": "fits", "tight": "tight", "does not fit": "no"}


def fits_table(plan: Plan) -> Table:
    """GiB and verdict of each size and batch."""
    card, config = plan.card, plan.config
    title = (
        f"{config.backbone}, {config.precision}, {config.frozen_stages} stages frozen, {config.optimizer}:\n"
        f"GiB of the {card.usable:.1f} usable of {card.vram:.3g}"
    )
    table = Table("long side", title=title, caption="no: does not fit")
    for batch in BATCHES:
        table.add_column(f"{batch} image{'s' if batch > 1 else ''}", justify="right")
    for size in SIZES:
        row = [one for one in card.fits if one.size == size]
        table.add_row(size, *(f"[{STYLES[one.verdict]}]{_gib(one.peak)} {SHORT[one.verdict]}" for one in row))
    return table


def begin_with(plan: Plan) -> str:
    """The config recommended, as a sentence and a command."""
    chosen, config = plan.card.recommended, plan.config
    if chosen is None:
        return "Not one image of the smallest size fits: take a smaller backbone, or train on the CPU."
    often = f", {plan.card.accumulation} times a step" if plan.card.accumulation > 1 else ""
    return (
        f"Begin with a long side of {chosen.size} and {chosen.batch} images at a time{often}: "
        f"{_gib(chosen.peak)} GiB.\n"
        f"  coursekit train --backbone {config.backbone} --size {chosen.size} --frozen-stages {config.frozen_stages} "
        f"--batch {EFFECTIVE} --micro-batch {chosen.batch} --precision {config.precision}\n"
        "On cards older than Ampere (2020) take --precision fp16: as much memory, and faster there.\n"
        "Half the long side takes a quarter of the time: try a change there first."
    )


def peak_table(peak: Peak) -> Table:
    """Where the memory goes."""
    table = Table(*KINDS, "all", title="of this, MiB")
    table.add_row(*(f"{getattr(peak, kind) / MIB:,.0f}" for kind in KINDS), f"{peak.total / MIB:,.0f}")
    return table


def cards_table(plan: Plan) -> Table:
    """What to begin with on each card."""
    table = Table("card, GB", "usable", "long side", "images at a time", "times a step", "GiB", title="other cards")
    for card in plan.others:
        table.add_row(f"{card.vram:g}", f"{card.usable:.1f}", *_cells(card))
    return table


def _cells(card: Card) -> list[str]:
    chosen = card.recommended
    if chosen is None:
        return ["nothing fits", "", "", ""]
    return [chosen.size, str(chosen.batch), str(card.accumulation), _gib(chosen.peak)]


def as_json(plan: Plan) -> dict[str, Any]:
    """The same for programs. Memory in MiB, of cards in GiB."""
    config, constants = plan.config, plan.constants
    return {
        "backbone": config.backbone,
        "precision": config.precision,
        "frozen_stages": config.frozen_stages,
        "optimizer": config.optimizer,
        "num_classes": config.num_classes,
        "effective_batch": EFFECTIVE,
        "constants": msgspec.to_builtins(constants),
        **_card_json(plan.card),
        "fits": [_fit_json(one) for one in plan.card.fits],
        "cards": [_card_json(card) for card in plan.others],
    }


def _card_json(card: Card) -> dict[str, Any]:
    chosen = card.recommended
    recommended = None if chosen is None else _fit_json(chosen) | {"accumulation": card.accumulation}
    return {"vram_gib": card.vram, "usable_gib": round(card.usable, 3), "recommended": recommended}


def _fit_json(fit: Fit) -> dict[str, Any]:
    height, width = SIZES[fit.size]
    split = {f"{kind}_mib": round(getattr(fit.peak, kind) / MIB, 1) for kind in KINDS}
    needed = {"peak_mib": round(fit.peak.total / MIB, 1), **split}
    return {"size": fit.size, "height": height, "width": width, "batch": fit.batch, "verdict": fit.verdict, **needed}


def markdown_table(plan: Plan) -> str:
    """For the README: for each card the most images of each size that fit at a time; in bold what to begin with."""
    lines = [f"| card | usable | {' | '.join(SIZES)} |", "|---|---|" + "---|" * len(SIZES)]
    for card in plan.others:
        most = [max((one for one in card.fits if _fits(one, size)), key=_batch, default=None) for size in SIZES]
        cells = [_bold(one, one is card.recommended) for one in most]
        lines.append(f"| {card.vram:g} GB | {card.usable:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _fits(fit: Fit, size: str) -> bool:
    return fit.size == size and fit.verdict == "fits"


def _batch(fit: Fit) -> int:
    return fit.batch


def _bold(fit: Fit | None, bold: bool) -> str:
    if fit is None:
        return "–"
    return f"**{fit.batch}**" if bold else str(fit.batch)


def _gib(peak: Peak) -> str:
    return f"{peak.total / GIB:.1f}"
