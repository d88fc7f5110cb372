"""`coursekit doctor` and `coursekit plan`: what this machine can do."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from coursekit.commands.tables import cell
from coursekit.core.config import DEFAULT_BACKBONE, FASTER_RCNN, check_kind
from coursekit.core.errors import ConfigError, command

if TYPE_CHECKING:
    from coursekit.memory import Plan
    from coursekit.runs.plan_by_hours import Proposal

KIND_HELP = "The detector: faster_rcnn, with two stages, or fcos, with one."
ASSUMED_VRAM = 4.0  # GiB, without a card to ask: the laptops that this course is for
ESTIMATED_CONSTANTS = (
    "What a card needs besides tensors is an estimate: 0.5 GiB and a tenth. On a card, measure it: "
    "coursekit plan --calibrate"
)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Check what this machine can do: Python, torch, CPU, GPU, disk, weights, data; and say what each finding means."""
    from coursekit.runs import doctor as machine

    findings = machine.examine()
    if as_json:
        print(json.dumps(machine.as_json(findings)))
        return
    table = Table("", "what", "here", "what it means")
    for finding in findings:
        table.add_row("ok" if finding.ok else "look", finding.name, cell(finding.value), cell(finding.meaning))
    Console().print(table)


def plan(
    vram: Annotated[
        float | None, typer.Option(help="Memory of the card in GB. Default: that of the card here, else 4.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Any timm model with features_only.")] = DEFAULT_BACKBONE,
    kind: Annotated[str, typer.Option(help=KIND_HELP)] = FASTER_RCNN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="First measure a few steps on the card.")] = False,
    hours: Annotated[
        float | None, typer.Option(help="Propose recipe, image size, batch and epochs for this many hours.")
    ] = None,
    card: Annotated[
        str | None, typer.Option(help="With --hours: a card by name, such as T4, in place of this machine.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture: EfficientNet-B3 at COCO's full size on 4 GB.")
    ] = None,
) -> None:
    """Plan what fits on a card: image sizes by batch, and a configuration to start with. It needs no GPU."""
    if card is not None and hours is None:
        raise ConfigError(f"--card {card}: it goes with --hours. For memory alone, give --vram.")
    check_kind(kind)
    if hours is not None:
        _plan_hours(hours, card, vram, backbone, kind, as_json=as_json)
        return
    from coursekit.memory import calibrate as measure_constants
    from coursekit.memory import plan_tables, planner
    from coursekit.memory.b3_picture import save_b3_picture

    if calibrate:
        measure_constants()
    made = planner.make_plan(_vram_here() if vram is None else vram, backbone, kind=kind)
    if as_json:
        print(json.dumps(plan_tables.as_json(made)))
    else:
        _print_plan(made)
    if picture is not None:
        save_b3_picture(picture, made.constants)
        print(f"EfficientNet-B3 at COCO's full size: {picture}", file=sys.stderr)


def _print_plan(made: "Plan") -> None:
    """Print sizes by batch, what to start with and where its memory goes, and other cards."""
    from coursekit.memory import plan_tables

    console, chosen = Console(), made.card.recommended
    console.print(plan_tables.sizes_table(made))
    print(plan_tables.recommendation(made))
    if chosen:
        console.print(plan_tables.peak_table(chosen.peak))
    console.print(plan_tables.cards_table(made))
    card = made.constants.measured_on
    print(f"What a card needs besides tensors was measured on {card}." if card else ESTIMATED_CONSTANTS)


def _vram_here() -> float:
    from coursekit.memory.budget import vram_here

    gib = vram_here()
    if gib is None:
        print(f"No CUDA device here: this is for a card of {ASSUMED_VRAM:g} GB. For another: --vram 8", file=sys.stderr)
    return gib or ASSUMED_VRAM


def _plan_hours(hours: float, card: str | None, vram: float | None, backbone: str, kind: str, *, as_json: bool) -> None:
    """Print what each recipe allows in the time, and the commands for the one to take."""
    from coursekit.core.device import total_memory
    from coursekit.memory import planner
    from coursekit.memory.budget import vram_here
    from coursekit.memory.step_config import GIB
    from coursekit.runs import plan_by_hours as time_plan

    if card is not None:
        name, rate, gib = time_plan.named_card(card)
        speed = time_plan.speed_of_card(rate, backbone, kind)
        source = f"{name}, estimated from its data sheet, not measured"
    else:
        gib = vram_here() or total_memory() / GIB
        speed, source = time_plan.speed_here(backbone, kind), "this machine, measured in a few steps"
    fits = planner.make_plan(gib if vram is None else vram, backbone, kind=kind).card
    found = time_plan.proposals(hours, speed, fits)
    if as_json:
        print(json.dumps({"images_per_second": speed, "proposals": [asdict(each) for each in found]}))
        return
    print(f"In {hours:g} hours, at {speed:.3g} images of 320 × 320 pixels a second ({source}):")
    table = Table("recipe", "images", "long side", "epochs")
    for each in found:
        table.add_row(each.recipe, f"{each.images:,}", str(each.size), str(each.epochs or "no time for one"))
    Console().print(table)
    _print_choice(found[0], time_plan.train_command(found[0], fits, kind))


def _print_choice(choice: "Proposal", train: str) -> None:
    from coursekit.runs.plan_by_hours import MIN_EPOCHS

    if choice.epochs < MIN_EPOCHS:
        print(
            f"No recipe gets {MIN_EPOCHS} epochs in this time: with fewer, a detector learns little. Take more hours."
        )
    if choice.epochs:
        print(f"{command('coursekit', 'data', 'build', choice.recipe)}\n{train}")
