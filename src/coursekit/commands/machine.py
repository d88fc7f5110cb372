"""`coursekit doctor` and `coursekit plan`: what this machine can do."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """What this machine can do: Python, torch, CPU, GPU, disk, weights, data; each with what it means."""
    from coursekit.runs import doctor as doctors

    findings = doctors.examine()
    if as_json:
        print(json.dumps(doctors.as_json(findings)))
        return
    table = Table("", "what", "here", "what it means")
    for finding in findings:
        table.add_row("ok" if finding.ok else "look", finding.name, finding.value, finding.meaning)
    Console().print(table)


def plan(
    vram: Annotated[float | None, typer.Option(help="GB of the card; default: of the one here, else 4.")] = None,
    backbone: Annotated[str, typer.Option(help="Any timm model with features_only.")] = "tf_efficientnet_lite0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a few steps on the card first.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw EfficientNet-B3 at full COCO size on 4 GB here.")] = None,
) -> None:
    """What fits on a card: image size by batch, and the setting to begin with. It needs no GPU."""
    from coursekit.commands.plan import plan_command

    plan_command(vram, backbone, as_json=as_json, calibrate=calibrate, picture=picture)
