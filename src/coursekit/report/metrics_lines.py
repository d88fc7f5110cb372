"""What the report needs of the lines in a run's metrics.jsonl."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from coursekit.core.errors import DataError
from coursekit.training.clock import ALL_PHASES, PHASES

Number = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class _Line(msgspec.Struct):
    """What any line may have."""

    device: str = ""
    event: str = ""
    left_out: str = ""
    memory: Count | None = None


class _StepLine(msgspec.Struct):
    """What a line about a step has."""

    step: Count
    losses: dict[str, Number]
    lr: Number
    seconds: Number
    images: Count
    micro_batch: Count | None = None
    phases: dict[str, Number] = msgspec.field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))


class _EpochLine(msgspec.Struct):
    """What a line about a score has."""

    epoch: Count
    AP: Number
    AP50: Number


def check_lines(
    path: Path, lines: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]], epochs: Sequence[dict[str, Any]]
) -> None:
    """Check that lines have what the report shows, with the right types.

    Args:
        path: the file, for the message.
        lines: all of its lines.
        steps: those about steps; at least one.
        epochs: those about scores.

    Raises:
        DataError: names the first fault.
    """
    try:
        msgspec.convert(lines, list[_Line])
        msgspec.convert(epochs, list[_EpochLine])
        for step in msgspec.convert(steps, list[_StepLine]):
            has_all_phases = set(PHASES) <= step.phases.keys() <= set(ALL_PHASES)
            if step.losses.keys() != steps[0]["losses"].keys() or not has_all_phases:
                raise ValueError(f"step {step.step} has other losses or phases than the first")
    except ValueError as error:
        raise DataError(f"{path}: not what a run writes ({error}). Copy it again, or train again.") from None
