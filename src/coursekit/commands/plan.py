"""`coursekit plan`."""

import json
import sys
from pathlib import Path

import torch
from rich.console import Console

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.files import make_folder, new_file
from coursekit.memory.calibrate import calibrate as measure_constants
from coursekit.memory.picture import b3_picture
from coursekit.memory.planner import Plan, make_plan
from coursekit.memory.step_config import GIB
from coursekit.memory.tables import as_json as plan_as_json
from coursekit.memory.tables import begin_with, cards_table, fits_table, peak_table

ASSUMED = 4.0  # GiB, where there is no card to ask: the laptops that this course is for
ASSUMED_BESIDES = (
    "What a card needs besides tensors is an estimate: 0.5 GiB and a tenth. On a card, measure it: "
    "coursekit plan --calibrate"
)


def plan_command(
    vram: float | None = None,
    backbone: str = DEFAULT_BACKBONE,
    *,
    as_json: bool = False,
    calibrate: bool = False,
    picture: Path | None = None,
) -> None:
    """Print what fits on a card, and what to begin with.

    Args:
        vram: GiB of the card; by default of the CUDA device here, else 4.
        backbone: a timm model.
        as_json: print JSON and nothing else.
        calibrate: measure the constants on the CUDA device first.
        picture: where to draw EfficientNet-B3 at full COCO size.

    Raises:
        ConfigError: an option can't be used.
        DataError: the measured constants can't be read.
    """
    if calibrate:
        measure_constants()
    plan = make_plan(_vram_here() if vram is None else vram, backbone)
    if as_json:
        print(json.dumps(plan_as_json(plan)))
    else:
        print_plan(plan)
    if picture is not None:
        make_folder(picture.parent)
        with new_file(picture) as path:
            b3_picture(constants=plan.constants).savefig(path, dpi=120)
        print(f"EfficientNet-B3 at COCO's full size: {picture}", file=sys.stderr)


def print_plan(plan: Plan) -> None:
    """Size by batch, what to begin with and where its memory goes, other cards."""
    console, chosen = Console(), plan.card.recommended
    console.print(fits_table(plan))
    print(begin_with(plan))
    if chosen:
        console.print(peak_table(chosen.peak))
    console.print(cards_table(plan))
    measured = plan.constants.measured_on
    print(f"What a card needs besides tensors was measured on {measured}." if measured else ASSUMED_BESIDES)


def _vram_here() -> float:
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / GIB
    print(f"No CUDA device here: this is for a card of {ASSUMED:g} GB. Another: --vram 8", file=sys.stderr)
    return ASSUMED
