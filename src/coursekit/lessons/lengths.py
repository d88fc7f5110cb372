"""How long the lessons train, in one place: in full, and in the short form that CI takes (COURSEKIT_FAST=1)."""

import os

LENGTHS = {  # name: (in full, short)
    "first detector, images": (240, 16),
    "first detector, epochs": (5, 1),
    "first score, images": (120, 12),
    "01 images to time": (120, 24),
    "01 images to train on": (32, 8),
}


def length(name: str) -> int:
    """The number for this session."""
    full, short = LENGTHS[name]
    return short if os.environ.get("COURSEKIT_FAST") == "1" else full
