"""The state of an exercise, as far as it is known without a check."""

from typing import Literal

from coursekit.lessons.course import badge_of
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.workbook import Workbook, digest

State = Literal["not started", "not yet", "borrowed", "untested", "correct"]
RIGHT: tuple[State, ...] = ("borrowed", "untested", "correct")  # the values are right: later lessons use the answer
SIGNS: dict[State, str] = {"not started": "○", "not yet": "✗", "borrowed": "◐", "untested": "◔", "correct": "✓"}


def known_state(workbook: Workbook, name: str) -> State | None:
    """Return the state of an exercise; None if its code has changed since its last check."""
    code, record = workbook.code_of(name), progress.record(workbook, name)
    if code is None:
        return "not started"
    if record.code == digest(code) and record.state in ("not yet", "borrowed", "correct"):
        lacks_inputs = record.state == "correct" and badge_of(name) == "delegate" and not record.caught
        return "untested" if lacks_inputs else record.state  # type: ignore[return-value]
    return "not yet" if workbook.in_trial else None
