"""The length of a lesson's training: in full, or in the short form that CI uses."""

import os
from typing import TypeVar

Value = TypeVar("Value")

SHORT_FORM = "Short form (COURSEKIT_FAST=1): a few steps on a few images. The numbers mean little."


def quick(full: Value, short: Value) -> Value:
    """Return the first value, or the second if `COURSEKIT_FAST=1` is set, as in CI."""
    return short if is_short() else full


def is_short() -> bool:
    """Return whether lessons run in their short form."""
    return os.environ.get("COURSEKIT_FAST") == "1"


def short_form() -> str:
    """Return a line that says that the numbers above it mean little, in the short form; otherwise an empty text."""
    return f"{SHORT_FORM}\n" if is_short() else ""
